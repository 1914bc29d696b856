// What a page does for views beside what their widgets do: it tells of a row that is clicked, of rows that are held
// still while one marks text, and of views that come onto the screen and leave it. Keys and focus stay where they are.
(() => {
  document.currentScript?.remove(); // it has done its work: no script is left in the output
  if (window.kitPageEvents) return;
  window.kitPageEvents = true;
  const page = Math.random().toString(36).slice(2, 10);
  const field = ".kit-page-events input";
  let count = 0;
  let pressed = null; // the view in whose rows a button is down, and where
  let held = null; // the view whose rows stand still
  let last = null; // the part that had the keyboard last, and what is around it

  const part = (node) => (node.closest ? node.closest(".kit-keys") : null);

  // What is told while something is on its way takes the place of what was told before, so the last ones are repeated.
  function tell(box, what) {
    const input = box.querySelector(field);
    if (!input) return;
    box.kitTold = [...(box.kitTold || []).slice(-7), `${++count} ${what}`];
    input.value = [page, ...box.kitTold].join("|");
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // JupyterLab would take arrows as a way from cell to cell, and D twice, on a button, as the wish to delete the cell.
  // It looks for this attribute and no other.
  addEventListener(
    "keydown",
    (event) => {
      const box = part(event.target);
      const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
      if (box) event.target.toggleAttribute("data-lm-suppress-shortcuts", plain);
    },
    true,
  );

  function marked(box) {
    const selection = getSelection();
    return !selection.isCollapsed && box.contains(selection.anchorNode);
  }

  function settle() {
    if (!held || pressed || marked(held)) return;
    tell(held, "go");
    held = null;
  }

  addEventListener(
    "pointerdown",
    (event) => {
      const rows = event.target.closest?.(".kit-live-moving .kit-live-rows");
      const box = rows && part(rows);
      if (!box || event.button) return;
      // The row may have moved on when the button is up.
      const row = event.target.closest("tr[data-n]");
      pressed = { box, row: row && row.dataset.n, x: event.clientX, y: event.clientY };
      if (held && held !== box) tell(held, "go");
      if (held !== box) tell(box, "hold");
      held = box;
    },
    true,
  );
  addEventListener(
    "pointerup",
    (event) => {
      if (!pressed) return;
      const { box, row, x, y } = pressed;
      pressed = null;
      const still = Math.hypot(event.clientX - x, event.clientY - y) < 4;
      if (still && row && getSelection().isCollapsed) tell(box, `row ${row}`);
      settle();
    },
    true,
  );
  addEventListener("pointercancel", () => ((pressed = null), settle()), true);
  document.addEventListener("selectionchange", settle);

  // Rows that are new come beside the table, and are taken into it: those that stay are not made again.
  function change(box) {
    const changes = box.querySelector(".kit-live-changes table");
    const table = box.querySelector(".kit-live-moving[data-number]");
    if (!changes || !table || table.dataset.number === changes.dataset.to) return;
    if (table.dataset.number !== changes.dataset.of) {
      if (+table.dataset.number < +changes.dataset.to) tell(box, "whole");
      return;
    }
    const body = table.querySelector("tbody");
    const rows = new Map([...body.rows, ...changes.rows].map((row) => [row.dataset.n, row]));
    const order = changes.dataset.order.split(",");
    const stays = new Set(order.map((n) => rows.get(n)));
    for (const row of [...body.rows]) if (row.dataset.n && !stays.has(row)) row.remove();
    let next = body.rows[0] || null;
    for (const row of stays) {
      if (row === next) next = next.nextElementSibling;
      else if (row) body.insertBefore(row, next);
    }
    table.dataset.number = changes.dataset.to;
  }
  function follow(box) {
    const changes = box.querySelector(".kit-live-changes");
    if (!changes) return;
    new MutationObserver(() => change(box)).observe(changes, { childList: true, subtree: true });
    change(box);
  }

  function look(box, shown) {
    if (shown !== undefined) box.kitOnScreen = shown;
    const seen = Boolean(box.kitOnScreen) && !document.hidden;
    if (seen === box.kitSeen) return;
    box.kitSeen = seen;
    tell(box, seen ? "seen" : "unseen");
  }
  const boxes = () => [...document.querySelectorAll(field)].map(part).filter(Boolean);
  const eye = new IntersectionObserver((list) => list.forEach((one) => look(one.target, one.isIntersecting)), {
    rootMargin: "300px",
  });
  document.addEventListener("visibilitychange", () => boxes().forEach((box) => look(box)));
  addEventListener("pagehide", () => boxes().forEach((box) => look(box, false)));

  // What is taken away while it has the keyboard leaves it to what was around it, not to the page.
  addEventListener("focusin", (event) => {
    const box = part(event.target);
    last = box && { node: event.target, around: around(box) };
  });
  function around(box) {
    const found = [];
    for (let node = box.parentElement; node && node !== document.body; node = node.parentElement) found.push(node);
    return found;
  }
  function refocus() {
    if (!last || last.node.isConnected || document.activeElement !== document.body) return;
    const rest = last.around.filter((node) => node.isConnected);
    last = null;
    const next = rest.find((node) => node.hasAttribute("tabindex")) || rest[0];
    if (!next) return;
    if (!next.hasAttribute("tabindex")) next.tabIndex = -1;
    next.focus({ preventScroll: true });
  }

  setInterval(() => {
    for (const box of boxes()) {
      if (box.kitSeen !== undefined || box.kitFollowed) continue;
      box.kitFollowed = true;
      eye.observe(box);
      follow(box);
    }
    refocus();
  }, 250);

  const style = document.createElement("style");
  style.textContent = ".kit-keys .kit-live-moving tr[data-n]{cursor:pointer}";
  document.head.append(style);
})();
