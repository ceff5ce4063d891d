// Keys beside the mouse: 1 2 3 …, arrows, Enter. The page works without this file.
"use strict";
(() => {
  const form = document.querySelector("form");
  if (!form) return;
  const oneClick = form.classList.contains("one-click");
  // A key held down from the page before must not answer this one.
  setTimeout(() => { form.dataset.keys = "ready"; }, 250);
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  window.addEventListener("pageshow", () => { sent = false; });

  const hint = document.querySelector(".keys");
  const tie = form.querySelector('[data-key="tie"], input[value="tie"]') !== null;
  const pair = form.classList.contains("pairwise");
  hint.textContent = (pair ? "Keys: ← A, → B" + (tie ? ", ↓ equal" : "") : "Keys: 1, 2, 3, …")
    + (oneClick ? "" : ", Enter to continue");
  hint.hidden = false;

  const wanted = (key) => {
    if (pair && key === "ArrowLeft") return "1";
    if (pair && key === "ArrowRight") return "2";
    if (pair && (key === "ArrowDown" || key === "0")) return "tie";
    return /^[0-9]$/.test(key) ? key : null;
  };
  const current = () => {
    const fields = [...form.querySelectorAll("fieldset")];
    return fields.find((field) => !field.querySelector("input:checked")) || fields[fields.length - 1];
  };
  const mark = () => {
    const field = current();
    form.querySelectorAll("fieldset").forEach((other) => other.classList.toggle("current", other === field));
  };
  mark();
  form.addEventListener("change", mark);

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !form.dataset.keys) return;
    if (event.key === "Enter" && !oneClick) {
      event.preventDefault();
      form.requestSubmit();
      return;
    }
    const value = wanted(event.key);
    if (value === null) return;
    const target = oneClick
      ? form.querySelector(`[data-key="${value}"]`)
      : current().querySelector(`input[value="${value}"]`);
    if (!target) return;
    event.preventDefault();
    target.click();
    target.scrollIntoView({ block: "nearest" });
  });
})();
