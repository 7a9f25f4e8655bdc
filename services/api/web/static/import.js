// Sends a folder, a CD or ZIPs in pieces. What breaks off goes on where it was (docs/importing.md).
"use strict";

const room = document.getElementById("upload");
const base = `/api/v1/imports/${room.dataset.id}`;
const token = document.querySelector('input[name="form_token"]').value;
const AT_ONCE = 4;
const NAMED_AT_ONCE = 500;
const state = { total: 0, sent: 0, files: 0, done: 0, running: false, paused: false, broken: [], began: 0, begun: 0 };

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const show = (id, isShown) => { document.getElementById(id).hidden = !isShown; };
const size = (bytes) => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;

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
      if (![423, 503, 507].includes(answer.status)) { show("away", false); return answer; }
      show("away", true);
      await wait(Math.min(Number(answer.headers.get("Retry-After")) || 3, 15));
    } catch {
      show("away", true);
      await wait(2);
    }
  }
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
  while (one.offset < one.file.size) {
    const piece = one.file.slice(one.offset, one.offset + one.most);
    let answer;
    try {
      await piece.slice(0, 1).arrayBuffer(); // a scratched CD says so here
      while (state.paused) await wait(0.2);
      answer = await call("PATCH", path, { body: piece, headers: { "upload-offset": one.offset, "content-type": "application/offset+octet-stream" } });
    } catch (error) {
      if (error instanceof DOMException) { state.broken.push(one); return; }
      answer = await persistently("HEAD", path, {});
    }
    if ([423, 503, 507].includes(answer.status)) { show("away", true); await wait(3); continue; }
    const offset = answer.headers.get("upload-offset");
    if (offset === null) { state.broken.push(one); return; }
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
  if (state.running || !chosen.length) return;
  state.running = true;
  show("progress", true);
  show("complaint", false);
  try {
    const files = await name(chosen);
    state.files = files.length;
    state.total = files.reduce((sum, one) => sum + one.file.size, 0);
    state.sent = state.begun = files.reduce((sum, one) => sum + Math.min(one.offset, one.file.size), 0);
    state.began = performance.now();
    state.done = 0;
    tell();
    const queue = files[Symbol.iterator]();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => { for (const one of queue) await send(one); }));
    show("broken", state.broken.length > 0);
    document.getElementById("broken-names").textContent = state.broken.slice(0, 20).map((one) => one.path).join(", ");
    show("finished", true);
    if (!state.broken.length) document.getElementById("finish").focus();
  } catch (error) {
    document.getElementById("complaint").textContent = error.message;
    show("complaint", true);
  }
  state.running = false;
}

// Folders that are dropped: the browser gives their files a hundred at a time.
async function inside(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
    if (file) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!entries.length) return;
    for (const one of entries) await inside(one, found);
  }
}

for (const input of room.querySelectorAll('input[type="file"]')) {
  input.addEventListener("change", () => upload([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }))));
}
room.addEventListener("dragover", (event) => { event.preventDefault(); room.classList.add("over"); });
room.addEventListener("dragleave", () => room.classList.remove("over"));
room.addEventListener("drop", async (event) => {
  event.preventDefault();
  room.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const found = [];
  for (const entry of entries) await inside(entry, found);
  upload(found);
});
document.getElementById("pause").addEventListener("click", (event) => {
  state.paused = !state.paused;
  event.target.setAttribute("aria-pressed", state.paused);
  event.target.textContent = state.paused ? event.target.dataset.on : event.target.dataset.off;
});
document.getElementById("leave-out").addEventListener("click", async () => {
  for (const one of state.broken) await persistently("DELETE", `/files/${one.id}`, {});
  state.broken = [];
  show("broken", false);
  document.getElementById("finish").focus();
});
addEventListener("beforeunload", (event) => { if (state.running && !state.paused) event.preventDefault(); });
show("script-needed", false);
show("choosers", true);
