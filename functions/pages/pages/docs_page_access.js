// What Swagger UI leaves out for those who use the page by keyboard or have it read to them.
"use strict";

// A part of the page that lacks something, and what gives it to it. React leaves attributes alone that it has not set.
const MENDS = [
  [".information-container", (part) => makeLandmark(part, "region", "About this API")],
  [".schemes-server-container", (part) => makeLandmark(part, "region", "Server and sign-in")],
  [".filter-container", (part) => makeLandmark(part, "search", "Operations by tag")],
  ["#servers", (select) => select.setAttribute("aria-label", "Server")],
  [".examples-select-element", (select) => select.setAttribute("aria-label", "Example")],
  [".body-param__text", (field) => field.setAttribute("aria-label", "Request body")],
  [".responses-table[role=region]", (table) => table.setAttribute("aria-label", `Responses of ${nameOperation(table)}`)],
  [".modal-ux", (dialog) => makeLandmark(dialog, "dialog", "Authorization")],
  [".modal-ux-header h3", (heading) => heading.setAttribute("aria-level", "2")],
  [".modal-ux-content h4", (heading) => heading.setAttribute("aria-level", "3")],
  [".modal-ux-content h6", (heading) => heading.setAttribute("aria-level", "4")],
  [".close-modal", (button) => button.setAttribute("aria-label", "Close")],
  // Their names differ from what they show, so that saying what is shown presses nothing.
  [".auth-btn-wrapper [aria-label]", (button) => button.removeAttribute("aria-label")],
  // Code that doesn't fit is scrolled by arrow keys, once it has the focus.
  ["pre.microlight", (code) => code.setAttribute("tabindex", "0")],
];

function makeLandmark(part, role, name) {
  part.setAttribute("role", role);
  part.setAttribute("aria-label", name);
}

function nameOperation(part) {
  const block = part.closest(".opblock");
  const path = block && block.querySelector("[data-path]");
  return path ? `${block.querySelector(".opblock-summary-method").textContent} ${path.dataset.path}` : "the operation";
}

function mendPage() {
  for (const [selector, mend] of MENDS) {
    document.querySelectorAll(selector).forEach(mend);
  }
}

const ForEverybody = (system) => {
  const make = system.React.createElement;
  return {
    wrapComponents: {
      // An operation's path is the text of a button. A link in it can't be reached, and the button does the same.
      DeepLink: (DeepLink) => (props) =>
        props.path.includes("/") ? make("span", null, props.text) : make(DeepLink, props),
      // The tags' headings are of the third level.
      operations: (Operations) => (props) =>
        make("div", null, make("h2", { className: "unseen" }, "Operations"), make(Operations, props)),
    },
  };
};

new MutationObserver(mendPage).observe(document.getElementById("page"), { childList: true, subtree: true });
