// The field on the page Troubleshooting: finds a pasted message among the tables of the pages that it links to.
const field = document.querySelector("#finder input");
const found = document.querySelector("#finder ol");
let rows;

// A word without the ending that its other forms have; "not" and "no" say the same.
function stemOf(word) {
  return word === "not" ? "no" : word.replace(/ies$/, "y").replace(/(?<=...)(ing|ed|es|s|e)$/, "");
}

// The words of a text in their shortest form, and each two that follow each other. Words that only fill a sentence are none.
function wordsOf(text) {
  const whole = text.toLowerCase().replace(/n['’]t\b/g, " not").replace(/\bcannot\b/g, "can not");
  const words = (whole.match(/[a-z0-9_-]*[a-z][a-z0-9_-]*/g) ?? [])
    .filter((word) => word.length > 1 && !["do", "does", "did", "such"].includes(word)).map(stemOf);
  return new Set([...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)]);
}

// The words of a message; what stands for its values, such as NAME, is none of them.
function wordsOfMessage(cell) {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("em").forEach((value) => value.remove());
  return wordsOf(copy.textContent);
}

async function rowsOf(address) {
  const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
  const title = page.querySelector("h1")?.firstChild.textContent.trim();
  return [...page.querySelectorAll(".md-content tbody tr, main tbody tr")].map((row) => ({
    address, title, words: wordsOfMessage(row.cells[0]), cells: [...row.cells].map((cell) => cell.textContent),
  }));
}

function readAll() {
  const links = [...document.querySelector("table").querySelectorAll("tbody a")].map((link) => link.href);
  const here = location.pathname;
  return Promise.all([...new Set([...links, here])].map(rowsOf)).then((pages) => pages.flat());
}

// Long messages count nearly as much as short ones: of a message that is remembered loosely, many words are missing.
const LENGTH = 100;

// What people meet most often is explained, in a table of three columns.
const EXPLAINED = 1.25;

// A row counts by its words that the message has, and by how rare these are among all messages.
function best(all, message) {
  const asked = wordsOf(message);
  const rows = new Map();
  all.forEach(({ words }) => words.forEach((word) => rows.set(word, (rows.get(word) ?? 0) + 1)));
  const weight = (words) => words.reduce((sum, word) => sum + Math.log(1 + all.length / rows.get(word)), 0);
  const score = ({ words, cells }) => {
    const shared = weight([...words].filter((word) => asked.has(word)));
    return (cells.length > 2 ? EXPLAINED : 1) * shared * shared / (weight([...words]) + LENGTH);
  };
  return all.map((row) => [score(row), row]).filter(([points]) => points > 0.1).sort((a, b) => b[0] - a[0]).slice(0, 5);
}

async function find() {
  rows ??= readAll();
  const lines = best(await rows, field.value).map(([, { address, title, cells }]) => {
    const line = document.createElement("li");
    const link = document.createElement("a");
    link.href = address;
    link.textContent = title;
    line.append(link, `: ${cells.join(" — ")}`);
    return line;
  });
  found.replaceChildren(...lines);
}

field?.addEventListener("input", find);
