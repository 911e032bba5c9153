// A map of scenes: panes side by side that move together, layers with opacity, footprints, an area to draw, values and
// shares of the view. It is a component of Streamlit; what it shows comes as data, what is drawn or picked goes back.

const library = new Map();

function loadLibrary(address) {
  if (!library.has(address)) {
    library.set(address, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => resolve(window.maplibregl);
      script.onerror = () => reject(new Error("the map library cannot be loaded"));
      document.head.append(script);
    }));
  }
  return library.get(address);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// --- the address: where the map is and which layers it shows --------------------------------------------------

function readAddress() {
  const found = new URLSearchParams(window.location.hash.slice(1));
  const place = (found.get("map") || "").split("/").map(Number);
  const layers = new Map();
  for (const each of (found.get("layers") || "").split(",").filter(Boolean)) {
    const [kind, percent] = each.split(":");
    layers.set(kind, Math.min(Math.max(Number(percent) / 100 || 0, 0), 1));
  }
  const whole = place.length === 3 && place.every(Number.isFinite);
  return { place: whole ? { zoom: place[0], center: [place[2], place[1]] } : null, layers };
}

function writeAddress(map, layers) {
  const { lng, lat } = map.getCenter();
  const place = `${map.getZoom().toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}`;
  const shown = [...layers].map(([kind, opacity]) => `${kind}:${Math.round(100 * opacity)}`).join(",");
  const hash = `#map=${place}${shown ? `&layers=${shown}` : ""}`;
  if (hash !== window.location.hash) window.history.replaceState(window.history.state, "", hash);
}

// --- the graticule: lines of longitude and latitude, which need no network -----------------------------------

function graticule(map) {
  const bounds = map.getBounds();
  const width = bounds.getEast() - bounds.getWest();
  const step = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005].find((each) => width / each >= Math.min(3, map.getContainer().clientWidth / 150)) || 0.002;
  const [west, east] = [Math.max(bounds.getWest(), -540), Math.min(bounds.getEast(), 540)];
  const [south, north] = [Math.max(bounds.getSouth(), -85), Math.min(bounds.getNorth(), 85)];
  const lines = [];
  const labels = [];
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  for (let lon = Math.ceil(west / step) * step; lon <= east; lon += step) {
    lines.push([[lon, south], [lon, north]]);
    const x = ((lon + 540) % 360) - 180;
    labels.push({ at: [lon, south], edge: "bottom", text: `${Math.abs(x).toFixed(digits)}° ${x < 0 ? "W" : "E"}` });
  }
  for (let lat = Math.ceil(south / step) * step; lat <= north; lat += step) {
    lines.push([[west, lat], [east, lat]]);
    labels.push({ at: [west, lat], edge: "left", text: `${Math.abs(lat).toFixed(digits)}° ${lat < 0 ? "S" : "N"}` });
  }
  const features = lines.map((coordinates) => ({
    type: "Feature", properties: {}, geometry: { type: "LineString", coordinates },
  }));
  return { data: { type: "FeatureCollection", features }, labels };
}

// --- one pane --------------------------------------------------------------------------------------------------

const EMPTY = { type: "FeatureCollection", features: [] };

function style(basemap) {
  const sources = { graticule: { type: "geojson", data: EMPTY }, footprints: { type: "geojson", data: EMPTY },
    area: { type: "geojson", data: EMPTY } };
  const layers = [{ id: "ground", type: "background", paint: { "background-color": "#eef1f3" } }];
  if (basemap) {
    sources.basemap = { type: "raster", tiles: [basemap.tiles], tileSize: 256, attribution: basemap.credit };
    layers.push({ id: "basemap", type: "raster", source: "basemap" });
  }
  layers.push(
    { id: "graticule", type: "line", source: "graticule", paint: { "line-color": "#b6bfc6", "line-width": 1 } },
    { id: "footprints", type: "fill", source: "footprints", paint: { "fill-color": "#0072b2", "fill-opacity": 0.08 } },
    { id: "outlines", type: "line", source: "footprints",
      paint: { "line-color": "#0072b2", "line-width": ["case", ["get", "chosen"], 3, 1.2] } },
    { id: "area", type: "line", source: "area",
      paint: { "line-color": "#d55e00", "line-width": 2.5, "line-dasharray": [2, 1] } },
  );
  return { version: 8, sources, layers };
}

class Pane {
  constructor(owner, root, index) {
    this.owner = owner;
    this.index = index;
    this.canvas = element("div", { className: "canvas" });
    this.title = element("h3");
    this.controls = element("div", { className: "layers" });
    this.values = element("div", { className: "values", role: "status" });
    this.shares = element("div", { className: "shares", role: "status" });
    this.box = element("section", { className: "pane" }, this.title, this.canvas, this.controls, this.shares, this.values);
    root.append(this.box);
    const { place } = readAddress();
    this.map = new owner.maplibre.Map({
      container: this.canvas, style: style(owner.data.basemap), attributionControl: { compact: true },
      dragRotate: false, pitchWithRotate: false, maxZoom: 17,
      ...(place || { bounds: owner.data.bounds || [-180, -60, 180, 75], fitBoundsOptions: { padding: 24 } }),
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new owner.maplibre.NavigationControl({ showCompass: false }));
    this.map.addControl(new owner.maplibre.ScaleControl({ unit: "metric" }));
    this.labels = element("div", { className: "labels", ariaHidden: "true" });
    this.canvas.append(this.labels);
    this.map.on("move", () => owner.follow(this));
    this.map.on("moveend", () => { this.drawGraticule(); owner.settled(this); });
    this.map.on("load", () => { this.ready = true; this.drawGraticule(); this.show(this.pane); owner.settled(this); });
    this.map.on("click", (event) => owner.clicked(this, event));
    this.map.getCanvas().setAttribute("aria-label",
      "Map. Arrow keys move it, plus and minus zoom, the space bar is a click in the middle.");
    this.map.getCanvas().addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      const lngLat = this.map.getCenter();
      owner.clicked(this, { lngLat, point: this.map.project(lngLat) });
    });
    this.map.on("dblclick", (event) => owner.drawing && event.preventDefault());
    this.map.on("mousemove", (event) => owner.drawing && owner.hovered(event));
    this.map.on("error", (event) => {
      if (event.error && event.error.status === 403) owner.say("This page is too old to load more pictures. Reload it.");
      else if (event.error && event.error.status >= 500) owner.say("Some pictures cannot be read. The files may be gone.");
    });
  }

  drawGraticule() {
    const { data, labels } = graticule(this.map);
    if (this.ready) this.map.getSource("graticule").setData(data);
    this.labels.replaceChildren(...labels.map(({ at, edge, text }) => {
      const point = this.map.project(at);
      const label = element("span", { textContent: text });
      label.style.left = edge === "bottom" ? `${point.x}px` : "4px";
      label.style[edge === "bottom" ? "bottom" : "top"] = edge === "bottom" ? "30px" : `${point.y}px`;
      return label;
    }));
  }

  // Bring the map to what the data say; layers that are there already stay.
  show(pane) {
    this.pane = pane;
    this.title.textContent = pane.title || "";
    this.title.hidden = !pane.title;
    if (!this.ready) return;
    const wanted = new Set(pane.layers.map((layer) => `scene-${layer.kind}`));
    for (const { id } of this.map.getStyle().layers) {
      if (id.startsWith("scene-") && (!wanted.has(id) || this.map.getSource(id).tiles[0] !== this.tilesOf(id))) {
        this.map.removeLayer(id);
        this.map.removeSource(id);
      }
    }
    for (const layer of pane.layers) {
      const id = `scene-${layer.kind}`;
      if (!this.map.getSource(id)) {
        this.map.addSource(id, { type: "raster", tiles: [layer.tiles], tileSize: 256, bounds: pane.bounds, maxzoom: 16 });
        this.map.addLayer({ id, type: "raster", source: id, layout: { visibility: "none" },
          paint: { "raster-fade-duration": 0, "raster-resampling": layer.classes ? "nearest" : "linear" } }, "graticule");
      }
    }
    this.map.setPaintProperty("footprints", "fill-opacity", pane.layers.length ? 0 : 0.08);
    this.map.getSource("footprints").setData(this.owner.data.footprints || EMPTY);
    this.drawControls();
    this.applyLayers();
  }

  tilesOf(id) {
    const layer = this.pane.layers.find((each) => `scene-${each.kind}` === id);
    return layer && new URL(layer.tiles, window.location.href).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
  }

  drawControls() {
    const { opacities } = this.owner;
    this.controls.replaceChildren(...this.pane.layers.map((layer) => {
      const shown = opacities.has(layer.kind);
      const name = `${layer.name}${this.pane.title ? `, ${this.pane.title}` : ""}`;
      const check = element("input", { type: "checkbox", checked: shown,
        onchange: () => this.owner.setOpacity(layer.kind, check.checked ? Number(slider.value) / 100 : null) });
      const slider = element("input", { type: "range", min: 0, max: 100, step: 5, ariaLabel: `Opacity of ${name}`,
        value: Math.round(100 * (shown ? opacities.get(layer.kind) : layer.opacity)), disabled: !shown,
        oninput: () => this.owner.setOpacity(layer.kind, Number(slider.value) / 100, true) });
      const legend = element("span", { className: "legend", hidden: !shown }, ...layer.legend.map(({ name: each, colour }) =>
        element("span", {}, element("i", { style: `background:${colour}` }), each)));
      return element("div", { className: "layer" }, element("label", {}, check, layer.name), slider, legend);
    }));
  }

  applyLayers() {
    if (!this.ready) return;
    const { opacities } = this.owner;
    for (const layer of this.pane.layers) {
      const id = `scene-${layer.kind}`;
      this.map.setLayoutProperty(id, "visibility", opacities.has(layer.kind) ? "visible" : "none");
      if (opacities.has(layer.kind)) this.map.setPaintProperty(id, "raster-opacity", opacities.get(layer.kind));
    }
  }

  async ask(address, where, target) {
    const asked = `${address}${address.includes("?") ? "&" : "?"}${new URLSearchParams(where)}`;
    target.dataset.asked = asked;
    try {
      const answer = await fetch(asked);
      const found = await answer.json();
      if (target.dataset.asked !== asked) return null;
      if (answer.ok) return found;
      target.textContent = found.error || "";
    } catch {
      target.textContent = "The application does not answer. Is the network there?";
    }
    return null;
  }

  async showValues(lngLat) {
    if (!this.pane.values) return;
    const where = { lon: lngLat.lng.toFixed(6), lat: lngLat.lat.toFixed(6) };
    const found = await this.ask(this.pane.values, where, this.values);
    if (found) {
      const text = Object.entries(found).map(([name, value]) => `${name}: ${value}`).join(" · ");
      this.values.textContent = `${where.lat}, ${where.lon}: ${text}`;
    }
  }

  async showShares() {
    if (!this.pane.shares) return;
    const bounds = this.map.getBounds();
    const edges = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
    const found = await this.ask(this.pane.shares, { bounds: edges.map((x) => x.toFixed(6)).join(",") }, this.shares);
    if (!found) return;
    const masks = Object.entries(found.masks);
    const names = [...new Set(masks.flatMap(([, shares]) => Object.keys(shares)))];
    const percent = (value) => (value === undefined ? "–" : `${value.toFixed(1)} %`);
    const row = (tag, ...cells) => element("tr", {}, ...cells.map((each) => element(tag, { textContent: each })));
    const agreed = Object.entries(found.agreements).map(([mask, shares]) => {
      const listed = Object.entries(shares).map(([name, value]) => `${name === "overall" ? "all classes" : name} ${value.toFixed(1)} %`);
      return listed.length ? `UCL and ${mask} agree on: ${listed.join(", ")}.` : "";
    }).filter(Boolean);
    this.shares.replaceChildren(
      element("table", {}, row("th", "In this view", ...masks.map(([mask]) => mask)),
        ...names.map((name) => row("td", name.replace("_", " "), ...masks.map(([, shares]) => percent(shares[name]))))),
      ...agreed.map((text) => element("p", { textContent: text })),
    );
  }
}

// --- all panes -------------------------------------------------------------------------------------------------

class SceneMap {
  constructor(maplibre, parent, component) {
    this.maplibre = maplibre;
    this.root = parent.querySelector(".scene-map");
    this.panes = [];
    this.opacities = readAddress().layers;
    this.drawing = null;
    this.toolbar = element("div", { className: "toolbar", role: "toolbar", ariaLabel: "Tools of the map" });
    this.message = element("p", { className: "message", role: "status", ariaLive: "polite" });
    this.row = element("div", { className: "panes" });
    this.swipe = element("div", { className: "swipe", hidden: true });
    this.root.replaceChildren(this.toolbar, this.message, this.row, this.swipe);
    this.onKey = (event) => this.drawing && this.pressed(event);
    window.addEventListener("keydown", this.onKey);
    this.update(component);
  }

  update(component) {
    this.component = component;
    this.data = component.data;
    this.root.style.setProperty("--map-height", `${this.data.height}px`);
    const kinds = this.data.panes.flatMap((pane) => pane.layers);
    if (!this.opacities.size) for (const layer of kinds) if (layer.shown) this.opacities.set(layer.kind, layer.opacity);
    while (this.panes.length > this.data.panes.length) {
      const pane = this.panes.pop();
      pane.map.remove();
      pane.box.remove();
    }
    this.data.panes.forEach((pane, index) => {
      if (!this.panes[index]) this.panes.push(new Pane(this, this.row, index));
      this.panes[index].show(pane);
    });
    this.row.dataset.count = String(this.panes.length);
    if (this.data.fit && this.data.fit !== this.fitted && (this.fitted !== undefined || !readAddress().place)) {
      this.panes[0].map.fitBounds(this.data.bounds, { padding: 24, animate: false });
    }
    this.fitted = this.data.fit;
    this.drawToolbar();
    this.showArea(this.drawing ? null : this.data.area);
    requestAnimationFrame(() => this.panes.forEach((pane) => pane.map.resize()));
  }

  say(text) {
    this.message.textContent = text;
  }

  drawToolbar() {
    const button = (text, act, pressed = null) =>
      element("button", { type: "button", textContent: text, onclick: act, ...(pressed === null ? {} : { ariaPressed: pressed }) });
    const tools = [];
    if (this.data.draw) {
      for (const [kind, text] of [["rectangle", "Draw a rectangle"], ["polygon", "Draw a polygon"]]) {
        tools.push(button(text, () => this.begin(kind), String(this.drawing?.kind === kind)));
      }
      if (this.data.area) tools.push(button("Remove the area", () => this.component.setTriggerValue("drawn", { geometry: null })));
      if (this.drawing?.kind === "polygon") tools.push(button("Finish", () => this.finish()));
    }
    if (this.data.area) tools.push(button("Go to the area", () => this.goTo(this.data.area)));
    if (this.data.swipe) tools.push(button("Swipe this view", () => this.openSwipe()));
    this.toolbar.replaceChildren(...tools);
    this.toolbar.hidden = !tools.length;
  }

  goTo(geometry) {
    const points = geometry.coordinates.flat(geometry.type === "MultiPolygon" ? 2 : 1);
    const bounds = points.reduce((all, each) => all.extend(each), new this.maplibre.LngLatBounds(points[0], points[0]));
    this.panes[0].map.fitBounds(bounds, { padding: 24, animate: false });
  }

  // All panes show the same place.
  follow(moved) {
    if (this.following) return;
    this.following = true;
    for (const pane of this.panes) {
      if (pane !== moved) pane.map.jumpTo({ center: moved.map.getCenter(), zoom: moved.map.getZoom() });
    }
    this.following = false;
  }

  settled(pane) {
    if (pane === this.panes[0]) writeAddress(pane.map, this.opacities);
    clearTimeout(pane.timer);
    pane.timer = setTimeout(() => pane.showShares(), 250);
  }

  setOpacity(kind, opacity, sliding = false) {
    if (opacity === null) this.opacities.delete(kind);
    else this.opacities.set(kind, opacity);
    for (const pane of this.panes) {
      pane.applyLayers();
      if (!sliding) pane.drawControls();
    }
    writeAddress(this.panes[0].map, this.opacities);
  }

  clicked(pane, event) {
    if (this.drawing) {
      this.addPoint(event.lngLat);
      return;
    }
    for (const each of this.panes) each.showValues(event.lngLat);
    if (!this.data.footprints) return;
    const found = pane.map.queryRenderedFeatures(event.point, { layers: ["footprints"] });
    if (found.length) this.component.setTriggerValue("picked", [...new Set(found.map((each) => each.properties.name))]);
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  begin(kind) {
    this.drawing = this.drawing?.kind === kind ? null : { kind, points: [] };
    this.say(!this.drawing ? "" : kind === "rectangle"
      ? "Click one corner, then the opposite one, or move the map and press the space bar. Escape ends it."
      : "Click the corners one after the other, or move the map and press the space bar; Enter or a click on the first one finishes, Escape ends it.");
    for (const pane of this.panes) {
      pane.map.getCanvas().style.cursor = this.drawing ? "crosshair" : "";
      if (this.drawing) pane.map.doubleClickZoom.disable();
      else pane.map.doubleClickZoom.enable();
    }
    this.showArea(this.drawing ? null : this.data.area);
    this.drawToolbar();
  }

  addPoint({ lng, lat }) {
    const { kind, points } = this.drawing;
    const { map } = this.panes[0];
    if (kind === "polygon" && points.length > 2) {
      const [first, here] = [map.project(points[0]), map.project([lng, lat])];
      if (Math.hypot(first.x - here.x, first.y - here.y) < 12) return this.finish();
    }
    points.push([lng, lat]);
    if (kind === "rectangle" && points.length === 2) return this.finish();
    return this.showArea(this.shape(points));
  }

  hovered({ lngLat }) {
    if (this.drawing.points.length) this.showArea(this.shape([...this.drawing.points, [lngLat.lng, lngLat.lat]]));
  }

  pressed(event) {
    if (event.key === "Escape") this.begin(this.drawing.kind);
    else if (event.key === "Enter" && this.drawing.kind === "polygon") this.finish();
  }

  shape(points) {
    if (this.drawing.kind === "rectangle") {
      const [[a, b], [c, d]] = [points[0], points[points.length - 1]];
      return { type: "Polygon", coordinates: [[[a, b], [c, b], [c, d], [a, d], [a, b]]] };
    }
    return points.length < 3 ? { type: "LineString", coordinates: points }
      : { type: "Polygon", coordinates: [[...points, points[0]]] };
  }

  finish() {
    if (this.drawing.kind === "polygon" && this.drawing.points.length < 3) {
      this.say("An area has three corners at least.");
      return;
    }
    const geometry = this.shape(this.drawing.points);
    this.drawing = { ...this.drawing, points: [] };
    this.begin(this.drawing.kind);
    this.showArea(geometry);
    this.component.setTriggerValue("drawn", { geometry });
  }

  showArea(geometry) {
    const data = geometry ? { type: "Feature", properties: {}, geometry } : EMPTY;
    for (const pane of this.panes) {
      if (pane.ready) pane.map.getSource("area").setData(data);
      else pane.map.once("load", () => pane.map.getSource("area").setData(data));
    }
  }

  // --- the viewer of `cleansat compare`, on what is seen -----------------------------------------------------------

  openSwipe() {
    const bounds = this.panes[0].map.getBounds();
    const edges = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()].map((x) => x.toFixed(5));
    const address = `${this.data.swipe}${this.data.swipe.includes("?") ? "&" : "?"}bounds=${edges.join(",")}`;
    const close = element("button", { type: "button", textContent: "Back to the map", onclick: () => {
      this.swipe.hidden = true;
      this.swipe.replaceChildren();
      this.row.hidden = false;
      this.panes.forEach((pane) => pane.map.resize());
    } });
    const frame = element("iframe", { src: address, title: "Swipe between the layers of this view" });
    const alone = element("a", { href: address, target: "_blank", textContent: "Open it in a tab of its own" });
    this.swipe.replaceChildren(element("p", {}, close, " ", alone), frame);
    this.swipe.hidden = false;
    this.row.hidden = true;
    close.focus();
  }

  remove() {
    window.removeEventListener("keydown", this.onKey);
    this.panes.forEach((pane) => pane.map.remove());
  }
}

const maps = new WeakMap();

export default function (component) {
  const { parentElement, data } = component;
  const there = maps.get(parentElement);
  if (there) {
    Promise.resolve(there).then((map) => map.update(component));
  } else {
    const made = loadLibrary(data.library).then((maplibre) => new SceneMap(maplibre, parentElement, component));
    made.catch((error) => {
      parentElement.querySelector(".scene-map").textContent = `There is no map: ${error.message}. The tables below still work.`;
    });
    maps.set(parentElement, made);
  }
  return () => {
    const map = maps.get(parentElement);
    maps.delete(parentElement);
    if (map) Promise.resolve(map).then((each) => each.remove()).catch(() => {});
  };
}
