"use strict";

const PAGE = 500; // pictures; as many as stand in the file without this script
const TYPING = 150; // milliseconds without a key, then the words are looked for

const at = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

const pictures = at("records").textContent.trim().split("\n").map((line) => JSON.parse(line));
const tables = JSON.parse(at("tables").textContent);
at("records").remove(); // its text is as large as what was made of it

const grid = at("grid");
const tileModel = grid.firstElementChild.cloneNode(true);
const pagers = [...document.querySelectorAll(".pages")];
const filters = { keyword: at("keyword"), source: at("source"), licence: at("licence") };
const words = at("words");

let found = pictures; // by the filters
let page = 0;
let open = -1; // place in `found` of the picture in the dialog

// What is shown

function tile(picture) {
  const item = tileModel.cloneNode(true);
  const link = item.querySelector("a");
  const image = item.querySelector("img");
  link.href = address(picture);
  image.src = address(picture);
  image.width = picture.width;
  image.height = picture.height;
  image.alt = picture.title || `${tables.keywords[picture.keyword]}, untitled`;
  item.querySelector(".title").textContent = picture.title || "untitled";
  const licence = tables.licences[picture.licence].name;
  item.querySelector(".by").textContent = picture.creator ? `${licence} · ${picture.creator}` : licence;
  return item;
}

function address(picture) {
  return picture.name.split("/").map(encodeURIComponent).join("/");
}

function pageOf(place) {
  return Math.floor(place / PAGE);
}

function draw() {
  const first = page * PAGE;
  grid.replaceChildren(...found.slice(first, first + PAGE).map(tile));
  announce();
}

function announce() {
  const all = found.length === pictures.length;
  at("count").textContent = all
    ? `${number(found.length)} pictures`
    : `${number(found.length)} of ${number(pictures.length)} pictures`;
  at("nothing").hidden = found.length > 0;
  pagers.forEach(drawPager);
}

function drawPager(pager) {
  const last = pageOf(Math.max(0, found.length - 1));
  pager.hidden = last === 0;
  const [back, choice, forward] = pager.children;
  back.disabled = page === 0;
  forward.disabled = page === last;
  choice.replaceChildren(...Array.from({ length: last + 1 }, (_, n) => pageOption(n)));
  choice.value = page;
}

function pageOption(n) {
  return new Option(`${number(n * PAGE + 1)}–${number(Math.min(found.length, (n + 1) * PAGE))}`, n);
}

function makePager(pager) {
  const back = button("← Previous page", () => turnTo(page - 1));
  const forward = button("Next page →", () => turnTo(page + 1));
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", "Page");
  choice.addEventListener("change", () => turnTo(Number(choice.value)));
  pager.replaceChildren(back, choice, forward);
}

function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", action);
  return made;
}

function turnTo(n) {
  page = n;
  draw();
  at("pictures").scrollIntoView();
  at("pictures").focus({ preventScroll: true });
}

// Filters

function fill(select, names, of) {
  const counts = new Array(names.length).fill(0);
  pictures.forEach((picture) => (counts[of(picture)] += 1));
  const order = [...names.keys()].filter((n) => counts[n]).sort((a, b) => counts[b] - counts[a] || a - b);
  const options = order.map((n) => new Option(`${names[n]} (${number(counts[n])})`, n));
  select.replaceChildren(new Option("all", ""), ...options);
}

function filter() {
  const wanted = Object.entries(filters)
    .filter(([, select]) => select.value !== "")
    .map(([field, select]) => [field, Number(select.value)]);
  const parts = fold(words.value).split(/\s+/).filter(Boolean);
  found = pictures.filter(
    (picture) =>
      wanted.every(([field, value]) => picture[field] === value) &&
      (!parts.length || parts.every((part) => folded(picture).includes(part))),
  );
  page = 0;
  draw();
  if (at("pictures").getBoundingClientRect().top < 0) at("pictures").scrollIntoView();
}

function folded(picture) {
  return (picture.folded ??= fold(`${picture.title}\n${picture.creator}`));
}

function clear() {
  at("filters").reset();
  filter();
}

// One picture

function show(place) {
  open = place;
  const picture = found[place];
  at("place").textContent = `${number(place + 1)} of ${number(found.length)}`;
  at("title").textContent = picture.title || "untitled";
  at("file").href = address(picture);
  const image = at("picture");
  image.removeAttribute("src"); // not the last one while this one is read
  image.width = picture.width;
  image.height = picture.height;
  image.src = address(picture);
  image.alt = picture.title || `${tables.keywords[picture.keyword]}, untitled`;
  at("facts").replaceChildren(...provenance(picture).flatMap(fact));
  at("previous").disabled = place === 0;
  at("next").disabled = place === found.length - 1;
  if (!at("one").open) {
    at("one").showModal();
    at("title").focus();
  }
}

// Names of facts, each with the texts and links that tell it. An empty one is left out.
function provenance(picture) {
  const licence = tables.licences[picture.licence];
  return [
    ["Keyword", tables.keywords[picture.keyword]],
    ["Creator", web(picture.creator || picture.creator_url || "unknown", picture.creator_url)],
    ["Licence", web(licence.name, licence.url), `: ${licence.asks}`],
    ["As stated", picture.license, " ", web(picture.license_url, picture.license_url)],
    ["Attribution", picture.attribution],
    ["Source", tables.sources[picture.source]],
    ["Its page", web(picture.page_url, picture.page_url)],
    ["Original", web(picture.original_url, picture.original_url)],
    ["Size", `${number(picture.width)} × ${number(picture.height)} pixels`],
    ["File", link(picture.name, address(picture))],
    ["SHA-256", picture.sha256],
  ];
}

function fact([name, ...parts]) {
  const term = document.createElement("dt");
  const description = document.createElement("dd");
  term.textContent = name;
  description.dir = "auto";
  description.classList.toggle("digest", name === "SHA-256");
  description.append(...parts);
  return description.textContent.trim() ? [term, description] : [];
}

// A stranger's address: a link only if it leads to the web.
function web(text, url) {
  return /^https?:\/\//i.test(url) ? link(text, url) : text;
}

function link(text, url) {
  const made = document.createElement("a");
  made.href = url;
  made.rel = "noreferrer";
  made.textContent = text;
  return made;
}

function move(steps) {
  const place = open + steps;
  if (place >= 0 && place < found.length) show(place);
}

// Back to the tile of the picture that was looked at last, even if it is on another page.
function closed() {
  if (pageOf(open) !== page) {
    page = pageOf(open);
    draw();
  }
  grid.children[open % PAGE].querySelector("a").focus();
  open = -1;
}

// Keys

const plain = (event) => !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);

function dialogKey(event) {
  const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!steps || !plain(event)) return;
  event.preventDefault();
  move(steps);
}

function gridKey(event) {
  const links = [...grid.querySelectorAll("a")];
  const here = links.indexOf(document.activeElement);
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const target = event.key === "Home" ? 0 : event.key === "End" ? links.length - 1 : here + steps;
  if (here < 0 || !plain(event) || !links[target]) return;
  event.preventDefault();
  links[target].focus();
}

function clicked(event) {
  const tiles = [...grid.children];
  const item = event.target.closest("li");
  if (!item || !event.target.closest("a") || !plain(event)) return; // other clicks open the file, as links do
  event.preventDefault();
  show(page * PAGE + tiles.indexOf(item));
}

// To begin with, the first page is there

fill(filters.keyword, tables.keywords, (picture) => picture.keyword);
fill(filters.source, tables.sources, (picture) => picture.source);
fill(filters.licence, tables.licences.map((licence) => licence.name), (picture) => picture.licence);
Object.values(filters).forEach((select) => select.addEventListener("change", filter));

let typed;
words.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(filter, TYPING);
});
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("clear").addEventListener("click", clear);
at("all").addEventListener("click", clear);

grid.addEventListener("click", clicked);
grid.addEventListener("keydown", gridKey);
at("one").addEventListener("keydown", dialogKey);
at("one").addEventListener("close", closed);
at("previous").addEventListener("click", () => move(-1));
at("next").addEventListener("click", () => move(1));
at("close").addEventListener("click", () => at("one").close());

pagers.forEach(makePager);
announce();
at("filters").hidden = false;
