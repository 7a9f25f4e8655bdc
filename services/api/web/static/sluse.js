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
document.addEventListener("htmx:sseError", () => away(true));
document.addEventListener("htmx:sseOpen", () => away(false));
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

// "Are you sure?" for what can't be undone.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.sure;
  if (question && !confirm(question)) event.preventDefault();
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
