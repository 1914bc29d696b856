// What a page does for views besides their widgets: it sends clicks on rows, selections of text during which rows must
// not move, and whether a view is on the screen. It keeps keys for the widgets, and the focus inside the notebook.
(() => {
  document.currentScript?.remove(); // no script is left in the output
  if (window.kitPageEvents) return;
  window.kitPageEvents = true;
  const page = Math.random().toString(36).slice(2, 10);
  const field = ".kit-page-events input";
  let count = 0;
  let pressed = null; // the view in whose rows the mouse button is down, and where
  let held = null; // the view whose rows must not move
  let last = null; // the element that had the focus last, and its ancestors

  const part = (node) => (node.closest ? node.closest(".kit-keys") : null);

  // A new value replaces one that was not sent yet, so each value repeats the last events.
  function tell(box, what) {
    const input = box.querySelector(field);
    if (!input) return;
    box.kitEvents = [...(box.kitEvents || []).slice(-7), `${++count} ${what}`];
    input.value = [page, ...box.kitEvents].join("|");
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // Without this attribute, JupyterLab takes arrow keys as steps from cell to cell, and two D on a button as a command
  // to delete the cell.
  addEventListener(
    "keydown",
    (event) => {
      const box = part(event.target);
      const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
      if (box) event.target.toggleAttribute("data-lm-suppress-shortcuts", plain);
    },
    true,
  );

  function selected(box) {
    const selection = getSelection();
    return !selection.isCollapsed && box.contains(selection.anchorNode);
  }

  function settle() {
    if (!held || pressed || selected(held)) return;
    tell(held, "go");
    held = null;
  }

  addEventListener(
    "pointerdown",
    (event) => {
      const rows = event.target.closest?.(".kit-live-moving .kit-live-rows");
      const box = rows && part(rows);
      if (!box || event.button) return;
      // The row may have moved when the button is released.
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

  // New rows come in a second table and are moved into the first one; rows that stay are not made again.
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
  const eye = new IntersectionObserver((list) => list.forEach((entry) => look(entry.target, entry.isIntersecting)), {
    rootMargin: "300px",
  });
  document.addEventListener("visibilitychange", () => boxes().forEach((box) => look(box)));
  addEventListener("pagehide", () => boxes().forEach((box) => look(box, false)));

  // If the element with the focus is removed, the focus goes to one of its ancestors, not to the page.
  addEventListener("focusin", (event) => {
    const box = part(event.target);
    last = box && { node: event.target, around: around(box) };
  });
  function around(box) {
    const ancestors = [];
    for (let node = box.parentElement; node && node !== document.body; node = node.parentElement) ancestors.push(node);
    return ancestors;
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
