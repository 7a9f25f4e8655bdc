// Sends a folder, a CD or ZIPs in pieces. What breaks off goes on where it was (docs/importing.md).
"use strict";

const room = document.getElementById("upload");
const base = `/api/v1/imports/${room.dataset.id}`;
const token = document.querySelector('input[name="form_token"]').value;
const AT_ONCE = 4;
const NAMED_AT_ONCE = 500;
const state = { total: 0, sent: 0, files: 0, done: 0, running: false, paused: false, broken: [], next: [], began: 0, begun: 0 };
const BUSY = [423, 500, 502, 503, 504, 507]; // goes on later
const TRIES = 10; // of a piece, in a row, before its file counts as broken

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const show = (id, isShown) => { document.getElementById(id).hidden = !isShown; };
const number = (value, digits) => value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const size = (bytes) => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${number(bytes / 1e6, 1)} MB` : `${number(bytes / 1e9, 2)} GB`;

async function call(method, path, options = {}) {
  const headers = { "x-form-token": token, ...options.headers };
  return fetch(base + path, { ...options, method, headers });
}

// Until the network, the disk or the database is there again.
async function persistently(method, path, options) {
  for (;;) {
    while (state.paused) await wait(0.2);
    try {
      const answer = await call(method, path, options);
      if (answer.status === 401) location.reload(); // signed out meanwhile
      if (!BUSY.includes(answer.status)) { show("away", false); return answer; }
      show("away", true);
      await wait(Math.min(Number(answer.headers.get("Retry-After")) || 3, 15));
    } catch {
      show("away", true);
      await wait(2);
    }
  }
}

function hash(text) {
  let [high, low] = [7, 31];
  for (let at = 0; at < text.length; at += 1) {
    high = Math.imul(high ^ text.charCodeAt(at), 2654435761);
    low = Math.imul(low ^ text.charCodeAt(at), 1597334677);
  }
  return `${high >>> 0}-${low >>> 0}`;
}

// Two CDs of one layout have files of the same paths and sizes. By their times they are told apart: a
// file that was chosen before keeps its name and goes on; another one of its path gets another name.
// What is added to an import that was looked into already is new, whatever it is called.
// Paths may name patients: what stays in this tab is a hash of them, and no longer than the import.
function labelled(chosen) {
  const key = `import-${room.dataset.id}`;
  const known = JSON.parse(sessionStorage.getItem(key) ?? "{}");
  const named = chosen.map((one) => {
    const marks = known[hash(one.path)] ??= "adding" in room.dataset ? ["what came before"] : [];
    const mark = `${one.file.size}-${one.file.lastModified}`;
    if (!marks.includes(mark)) marks.push(mark);
    const number = marks.indexOf(mark);
    return number ? { ...one, path: `${number + 1}/${one.path}` } : one;
  });
  try { sessionStorage.setItem(key, JSON.stringify(known)); } catch { sessionStorage.removeItem(key); }
  return named;
}

for (const form of document.querySelectorAll("form[data-last]")) {
  form.addEventListener("submit", () => sessionStorage.removeItem(`import-${room.dataset.id}`));
}

async function name(chosen) {
  const found = [];
  for (let first = 0; first < chosen.length; first += NAMED_AT_ONCE) {
    const some = chosen.slice(first, first + NAMED_AT_ONCE);
    const files = some.map((one) => ({ path: one.path, size: one.file.size }));
    const answer = await persistently("POST", "/files", { body: JSON.stringify({ files }), headers: { "content-type": "application/json" } });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.errors?.[0]?.message ?? body.title);
    body.files.forEach((file, i) => found.push({ ...some[i], id: file.id, offset: file.offset, most: body.max_chunk }));
  }
  return found;
}

async function send(one) {
  const path = `/files/${one.id}`;
  let tries = 0;
  while (one.offset < one.file.size) {
    // Read before it is sent: what a scratched CD does not give is the file's fault, not the network's.
    const piece = await one.file.slice(one.offset, one.offset + one.most).arrayBuffer().catch(() => null);
    if (piece === null || tries >= TRIES) { state.broken.push(one); return; }
    let answer;
    try {
      while (state.paused) await wait(0.2);
      answer = await call("PATCH", path, { body: piece, headers: { "upload-offset": one.offset, "content-type": "application/offset+octet-stream" } });
    } catch {
      show("away", true);
      await wait(Math.min(tries + 1, 5));
      answer = await persistently("HEAD", path, {});
    }
    if (answer.status === 401) location.reload(); // signed out meanwhile
    if (BUSY.includes(answer.status)) { show("away", true); await wait(3); continue; }
    const offset = answer.headers.get("upload-offset");
    if (offset === null) { state.broken.push(one); return; }
    tries = Number(offset) > one.offset ? 0 : tries + 1;
    show("away", false);
    state.sent += Number(offset) - one.offset;
    one.offset = Number(offset);
    tell();
  }
  state.done += 1;
  tell();
}

function tell() {
  const seconds = (performance.now() - state.began) / 1000;
  const rate = (state.sent - state.begun) / Math.max(seconds, 0.5);
  const bar = document.getElementById("bar");
  bar.max = state.total || 1;
  bar.value = state.total ? state.sent : state.done;
  document.getElementById("told").textContent = `${state.done} / ${state.files} · ${size(state.sent)} / ${size(state.total)} · ${size(rate)}/s`;
}

async function upload(chosen) {
  if (state.running) { state.next.push(chosen); return; } // after what is being sent
  if (!chosen.length && !state.broken.length) return;
  state.running = true;
  show("finished", false);
  show("broken", false);
  show("progress", true);
  show("complaint", false);
  try {
    const files = await name(labelled(chosen));
    state.files = files.length;
    state.total = files.reduce((sum, one) => sum + one.file.size, 0);
    state.sent = state.begun = files.reduce((sum, one) => sum + Math.min(one.offset, one.file.size), 0);
    state.began = performance.now();
    state.done = 0;
    tell();
    const queue = files[Symbol.iterator]();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => { for (const one of queue) await send(one); }));
    show("broken", state.broken.length > 0);
    const names = state.broken.slice(0, 20).map((one) => one.path).join(", ");
    document.getElementById("broken-names").textContent = state.broken.length > 20 ? `${names} … (${state.broken.length})` : names;
    show("finished", !state.next.length);
    if (!state.broken.length) document.getElementById("finish").focus();
  } catch (error) {
    document.getElementById("complaint").textContent = error.message;
    show("complaint", true);
  }
  state.running = false;
  const next = state.next.shift();
  if (next) await upload(next);
}

function begin(chosen) {
  if (!state.running) state.broken = chosen.filter((one) => !one.file);
  else state.broken.push(...chosen.filter((one) => !one.file));
  return upload(chosen.filter((one) => one.file));
}

// Folders that are dropped: the browser gives their files a hundred at a time.
async function inside(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
    found.push({ file, path: entry.fullPath.replace(/^\//, "") }); // without a file: it can't be read
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => null);
    if (entries === null) found.push({ file: null, path: entry.fullPath.replace(/^\//, "") });
    if (!entries?.length) return;
    for (const one of entries) await inside(one, found);
  }
}

for (const input of room.querySelectorAll('input[type="file"]')) {
  input.addEventListener("change", () => begin([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }))));
}
room.addEventListener("dragover", (event) => { event.preventDefault(); room.classList.add("over"); });
room.addEventListener("dragleave", () => room.classList.remove("over"));
room.addEventListener("drop", async (event) => {
  event.preventDefault();
  room.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const found = [];
  for (const entry of entries) await inside(entry, found);
  begin(found);
});
document.getElementById("pause").addEventListener("click", (event) => {
  state.paused = !state.paused;
  event.target.setAttribute("aria-pressed", state.paused);
  event.target.textContent = state.paused ? event.target.dataset.on : event.target.dataset.off;
});
document.getElementById("leave-out").addEventListener("click", async () => {
  const left = [];
  for (const one of state.broken) {
    const answer = one.id === undefined ? null : await persistently("DELETE", `/files/${one.id}`, {});
    if (answer && !answer.ok && answer.status !== 404) left.push(one);
  }
  state.broken = left;
  show("broken", left.length > 0);
  if (!left.length) document.getElementById("finish").focus();
});
addEventListener("beforeunload", (event) => { if (state.running && !state.paused) event.preventDefault(); });
show("script-needed", false);
show("choosers", true);
