// What the pages share. They work without it, but for what is live.
"use strict";

// Changes that htmx sends show whose page they come from, as forms do.
document.addEventListener("htmx:configRequest", (event) => {
  const token = document.querySelector('input[name="form_token"]');
  if (token && event.detail.verb !== "get") event.detail.headers["x-form-token"] = token.value;
});

// While nothing is heard from Sluse, the page says that its figures are old.
const away = (isAway) => {
  for (const note of document.querySelectorAll("[data-offline]")) note.hidden = !isAway;
};
document.addEventListener("htmx:sendError", () => away(true));
document.addEventListener("htmx:afterOnLoad", () => away(false));

// A live part of a page is not changed under the hands of somebody who is at work in it.
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (event.detail.xhr.status >= 400) event.detail.shouldSwap = event.detail.xhr.status === 422;
  if (part.matches("[data-calm]") && part.querySelector("input:checked, details[open]")) {
    event.detail.shouldSwap = false;
  }
});

// Signed out meanwhile: htmx would put the page for signing in where a part belongs.
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) location.reload();
});

// Pages with something live hear when something has changed. A browser keeps six connections to one
// host at most: a tab that nobody looks at gives its own back, and catches up when it is looked at.
const live = () => document.body.dispatchEvent(new Event("live"));
let source = null;
function listen() {
  if (!document.querySelector("[data-live]")) return;
  if (document.hidden) { source?.close(); source = null; return; }
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource("/live");
  source.addEventListener("changed", live);
  source.addEventListener("open", () => away(false));
  source.addEventListener("error", () => {
    away(true);
    if (source?.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}
document.addEventListener("visibilitychange", () => {
  const wasAway = !source;
  listen();
  if (source && wasAway) live();
});
listen();

// "Are you sure?" for what can't be undone. Then a form is sent once: who clicks twice means once.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.sure;
  if (form.ariaBusy || (question && !confirm(question))) { event.preventDefault(); return; }
  if (form.method !== "post" || form.hasAttribute("hx-post") || event.defaultPrevented) return;
  form.ariaBusy = "true";
  // Afterwards: what a button that can't be pressed says is not sent.
  setTimeout(() => { for (const one of form.elements) if (one.type === "submit") one.disabled = true; });
});
addEventListener("pageshow", () => { // back again
  for (const form of document.querySelectorAll("form[aria-busy]")) {
    form.ariaBusy = null;
    for (const one of form.elements) if (one.type === "submit") one.disabled = false;
  }
});

// One tick for all.
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-all]");
  if (!all) return;
  for (const one of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) one.checked = all.checked;
});

// A choice that fills in a field: `data-fill="field" data-value="text"`.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fill]");
  if (!button) return;
  const field = document.getElementById(button.dataset.fill);
  field.value = button.dataset.value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
});

// What is only for pages without a script.
document.addEventListener("htmx:load", (event) => {
  for (const part of event.detail.elt.querySelectorAll("[data-scriptless]")) part.hidden = true;
});

// What was filled in before this came, or by the browser on its own, is looked at now.
const isTouched = (field) => field.type === "checkbox" ? field.checked !== field.defaultChecked
  : field.options ? !([...field.options].find((one) => one.defaultSelected) ?? field.options[0])?.selected
    : field.value !== field.defaultValue;
document.addEventListener("DOMContentLoaded", () => {
  for (const form of document.querySelectorAll("form[data-catch-up]")) {
    if ([...form.elements].some(isTouched)) form.dispatchEvent(new Event("change", { bubbles: true }));
  }
});
