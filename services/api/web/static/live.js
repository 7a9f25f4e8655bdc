// Keeps the parts of a page marked data-live up to date.
"use strict";

const EVERY = 2000; // milliseconds

async function refresh(part) {
  const offline = document.getElementById("offline");
  try {
    const answer = await fetch(part.dataset.live, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    if (text !== part.dataset.last) {
      part.innerHTML = text;
      part.dataset.last = text;
    }
    offline.hidden = true;
  } catch {
    offline.hidden = false;
  }
}

for (const part of document.querySelectorAll("[data-live]")) {
  setInterval(() => document.hidden || refresh(part), EVERY);
}
