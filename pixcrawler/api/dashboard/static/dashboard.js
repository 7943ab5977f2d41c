// What pages do by themselves; they say everything, and take every form, without it.

const seconds = (n) => new Promise((resolve) => setTimeout(resolve, n * 1000));

// Times in the reader's zone

const written = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function tellTimes(part) {
  for (const time of part.querySelectorAll("time:not([title])")) {
    time.title = time.textContent;
    time.textContent = written.format(new Date(time.dateTime));
  }
}

// Parts of a page that are read again

async function load(address) {
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  if (response.redirected) location.reload(); // to sign in
  if (!response.ok) throw new Error(response.statusText);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

function replace(part, other) {
  if (part.innerHTML === other.innerHTML) return;
  part.replaceChildren(...document.adoptNode(other).childNodes);
  tellTimes(part);
}

async function refresh(part) {
  for (;;) {
    await seconds(Number(part.dataset.refresh));
    if (document.hidden) continue;
    const other = await load(location.href).then((page) => page.getElementById(part.id), () => part);
    if (other === part) continue; // the server is away: what is here may still be true
    if (!other) return location.reload();
    const goesOn = other.dataset.refresh;
    replace(part, other);
    if (!goesOn) return undefined;
  }
}

tellTimes(document);
document.querySelectorAll("[data-refresh]").forEach(refresh);
