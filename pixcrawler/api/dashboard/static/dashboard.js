// What pages do by themselves; they say everything, and take every form, without it.

const LIVE_SECONDS = 1.5; // between two looks at a job that is at work
const TYPING = 300; // milliseconds without a key, then a form is checked

const at = (id) => document.getElementById(id);
const all = (selector, part = document) => [...part.querySelectorAll(selector)];
const seconds = (n) => new Promise((resolve) => setTimeout(resolve, n * 1000));

// Times in the reader's zone

const written = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function tellTimes(part) {
  for (const time of all("time:not([title])", part)) {
    time.title = time.textContent;
    time.textContent = written.format(new Date(time.dateTime));
  }
}

// Parts of a page that are read again

async function load(address) {
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  if (response.redirected) location.reload(); // to sign in
  if (!response.ok) throw new Error(response.statusText);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  tellTimes(page);
  return page;
}

function replace(part, other) {
  const isUsed = part.querySelector("details[open]") || part.contains(document.activeElement);
  if (isUsed || part.innerHTML === other.innerHTML) return;
  part.replaceChildren(...document.adoptNode(other).childNodes);
}

/** Tells a state to those who do not see it change. */
function announce(state) {
  if (state && state !== document.querySelector("#state .badge").textContent) at("announced").textContent = state;
}

/** Puts what is true now into the parts of the page that change. Returns the new page; undefined: nobody answered. */
async function renew() {
  const page = await load(location.href).catch(() => undefined);
  if (!page) return undefined;
  announce(page.querySelector("#state .badge")?.textContent);
  for (const part of all("[data-live]")) {
    const other = page.getElementById(part.id);
    if (!other) location.reload();
    else replace(part, other);
  }
  return page;
}

async function refresh(part) {
  for (let goesOn = true; goesOn; ) {
    await seconds(Number(part.dataset.refresh));
    if (document.hidden) continue;
    const page = await renew();
    goesOn = !page || page.getElementById(part.id)?.dataset.refresh;
  }
}

function listen(head) {
  document.addEventListener("visibilitychange", () => document.hidden || renew());
  const events = new EventSource(head.dataset.events);
  let next; // the look that is due
  const look = async () => {
    await seconds(LIVE_SECONDS);
    next = undefined;
    if (!document.hidden) await renew();
  };
  events.addEventListener("progress", () => (next ??= look()));
  events.addEventListener("ended", () => {
    events.close();
    renew();
  });
}

// Longer lists

async function extend(link) {
  link.setAttribute("aria-busy", "true");
  const page = await load(link.href);
  const [list, rest] = [at("more"), page.getElementById("more")];
  const first = rest.firstElementChild;
  list.append(...document.adoptNode(rest).children);
  list.closest("[data-live]")?.removeAttribute("data-live"); // or it would be as short as before
  const onward = page.querySelector("a[rel=next]");
  const byKey = document.activeElement === link;
  if (onward) link.href = onward.href;
  else link.remove();
  link.removeAttribute("aria-busy");
  if (byKey && !onward) first.querySelector("a")?.focus();
}

// One picture of a grid, from its own page

const pictures = () => all("a[data-picture]");
let shown; // the link whose picture is in the dialog

async function show(link) {
  shown = link;
  const page = await load(link.href);
  if (shown !== link) return; // another one was asked for meanwhile
  at("viewer-content").replaceChildren(document.adoptNode(page.getElementById("picture")));
  const place = pictures().indexOf(link);
  const isThere = (by) => pictures()[place + by] || (by > 0 && document.querySelector("a[rel=next]"));
  for (const button of all("[data-move]", at("viewer"))) button.disabled = !isThere(Number(button.dataset.move));
  if (!at("viewer").open) at("viewer").showModal();
  at("picture-title").focus();
}

async function move(by) {
  const onward = document.querySelector("a[rel=next]");
  if (by > 0 && onward && shown === pictures().at(-1)) await extend(onward);
  const link = pictures()[pictures().indexOf(shown) + by];
  if (link) show(link);
}

function watch(viewer) {
  viewer.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.move) move(Number(button.dataset.move));
    else if (button || event.target === viewer) viewer.close();
  });
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) move(by);
  });
  viewer.addEventListener("close", () => shown?.focus());
}

/** Arrow keys go through a grid of pictures. */
function step(event) {
  const links = pictures();
  const place = links.indexOf(document.activeElement);
  const tiles = document.activeElement?.closest(".tiles");
  if (place < 0 || !tiles || at("viewer")?.open) return;
  const columns = getComputedStyle(tiles).gridTemplateColumns.split(" ").length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!by || !links[place + by]) return;
  event.preventDefault();
  links[place + by].focus();
}

// What drops down goes up again

function shut(...drops) {
  for (const drop of drops) {
    if (drop?.contains(document.activeElement)) drop.querySelector("summary").focus();
    drop?.removeAttribute("open");
  }
}

// Forms that are checked as they are filled in

function check(form) {
  let typing;
  let asked = 0;
  form.noValidate = true; // one voice is enough
  const notes = (field) => at(`${field}-notes`);
  const named = (name) => [name, `filter_${name}`, `export_${name}`].find((field) => notes(field));

  function tell({ field, wrong }) {
    all(".wrong", form).forEach((note) => note.remove());
    all("[aria-invalid]", form).forEach((input) => input.removeAttribute("aria-invalid"));
    const place = field && named(field);
    at("form-wrong").hidden = !wrong || Boolean(place);
    at("form-wrong").textContent = place ? "" : wrong;
    if (!place) return;
    const note = Object.assign(document.createElement("span"), { className: "wrong", textContent: `${wrong} ` });
    notes(place).prepend(note);
    at(place)?.setAttribute("aria-invalid", "true");
    notes(place).closest("details")?.setAttribute("open", "");
  }

  async function ask() {
    const number = ++asked;
    const said = new FormData(form);
    said.set("list_name", said.get("list")?.name ?? "");
    said.delete("list"); // its bytes are read when the job is asked for
    const response = await fetch(form.dataset.check, { method: "POST", body: said });
    if (response.ok && number === asked) tell(await response.json());
  }

  const soon = () => {
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING);
  };
  form.addEventListener("input", (event) => (event.target.value === "" && !asked ? undefined : soon()));
}

tellTimes(document);
all("[data-refresh]").forEach(refresh);
all("[data-events]").forEach((head) => head.dataset.events && listen(head));
all("[data-check]").forEach(check);
all("[data-submits]").forEach((form) => form.addEventListener("change", () => form.requestSubmit()));
if (at("viewer")) watch(at("viewer"));
document.addEventListener("keydown", step);
document.addEventListener("keydown", (event) => event.key === "Escape" && shut(document.activeElement?.closest(".drop")));
document.addEventListener("click", (event) => shut(...all(".drop").filter((drop) => !drop.contains(event.target))));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.rel === "next" && at("more")) extend(link);
  else if (link.matches("[data-picture]") && at("viewer")) show(link);
  else return;
  event.preventDefault();
});
