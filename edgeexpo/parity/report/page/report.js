"use strict";
for (const compare of document.querySelectorAll(".compare")) {
  const stage = compare.querySelector(".stage");
  const divider = stage.querySelector("input");
  const buttons = [...compare.querySelectorAll("button")];
  divider.addEventListener("input", () => stage.style.setProperty("--x", `${divider.value}%`));
  for (const button of buttons) {
    button.addEventListener("click", () => {
      stage.dataset.mode = button.dataset.mode;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    });
  }
}
// A link in the verdict table leads to numbers that may be folded away.
const unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", unfold);
unfold();
