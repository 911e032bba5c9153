// The field on the page Troubleshooting: finds a pasted message among the tables of the pages that it links to.
const field = document.querySelector("#finder input");
const found = document.querySelector("#finder ol");
let rows;

const wordsOf = (text) => new Set(text.toLowerCase().match(/[a-z][a-z0-9_-]+/g) ?? []);

async function rowsOf(address) {
  const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
  const title = page.querySelector("h1")?.firstChild.textContent.trim();
  return [...page.querySelectorAll(".md-content tbody tr, main tbody tr")].map((row) => ({
    address, title, words: wordsOf(row.cells[0].textContent), cells: [...row.cells].map((cell) => cell.textContent),
  }));
}

function readAll() {
  const links = [...document.querySelector("table").querySelectorAll("tbody a")].map((link) => link.href);
  const here = location.pathname;
  return Promise.all([...new Set([...links, here])].map(rowsOf)).then((pages) => pages.flat());
}

// A row counts by the share of its own words that the message has, and by how many these are.
function best(all, message) {
  const asked = wordsOf(message);
  const score = ({ words }) => {
    const shared = [...words].filter((word) => asked.has(word)).length;
    return words.size ? (shared * shared) / words.size : 0;
  };
  return all.map((row) => [score(row), row]).filter(([points]) => points > 0.5).sort((a, b) => b[0] - a[0]).slice(0, 5);
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
