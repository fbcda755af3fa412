// Two pictures under a slider, and the order of all of them: on the pages of scenes alone.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const typing = (event) => event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, summary");

  // Two pictures under a slider, with zoom and pan of both at once.
  const stage = (box) => {
    const viewer = document.getElementById(box.dataset.viewer);
    const [left, right] = all("figure", box);
    const line = one(".line", box);
    const range = one("input[type=range]", viewer);
    const state = { cut: 50, zoom: 1, x: 0, y: 0, drag: null, timer: null };
    const draw = () => {
      line.style.left = `${state.cut}%`;
      right.style.clipPath = state.timer ? "none" : `inset(0 0 0 ${state.cut}%)`;
      all("img", box).forEach((img) => (img.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`));
      box.classList.toggle("zoomed", state.zoom > 1);
      range.value = state.cut;
    };
    const clamp = (number, low, high) => Math.min(Math.max(number, low), high);
    const zoom = (factor, x = box.clientWidth / 2, y = box.clientHeight / 2) => {
      const next = clamp(state.zoom * factor, 1, 16);
      const scale = next / state.zoom;
      state.x = clamp(x - (x - state.x) * scale, box.clientWidth * (1 - next), 0);
      state.y = clamp(y - (y - state.y) * scale, box.clientHeight * (1 - next), 0);
      state.zoom = next;
      draw();
    };
    const cut = (share) => { state.cut = clamp(share, 0, 100); draw(); };
    const at = (event) => { const area = box.getBoundingClientRect(); return [event.clientX - area.left, event.clientY - area.top]; };
    box.addEventListener("pointerdown", (event) => {
      const [x, y] = at(event);
      const onLine = Math.abs(x - (state.cut / 100) * box.clientWidth) < 24;
      state.drag = state.zoom > 1 && !onLine ? { x: x - state.x, y: y - state.y } : "line";
      box.setPointerCapture(event.pointerId);
      if (state.drag === "line") cut((x / box.clientWidth) * 100);
    });
    box.addEventListener("pointermove", (event) => {
      if (!state.drag) return;
      const [x, y] = at(event);
      if (state.drag === "line") return cut((x / box.clientWidth) * 100);
      state.x = clamp(x - state.drag.x, box.clientWidth * (1 - state.zoom), 0);
      state.y = clamp(y - state.drag.y, box.clientHeight * (1 - state.zoom), 0);
      draw();
    });
    ["pointerup", "pointercancel"].forEach((name) => box.addEventListener(name, () => (state.drag = null)));
    box.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...at(event)); }, { passive: false });
    const reset = () => { Object.assign(state, { zoom: 1, x: 0, y: 0 }); draw(); };
    box.addEventListener("dblclick", reset);
    range.addEventListener("input", () => cut(Number(range.value)));
    const show = (figure, option) => {
      const img = one("img", figure);
      img.src = option.dataset.full;
      img.alt = option.textContent;
      one(".tag", figure).textContent = option.dataset.tag;
    };
    const [first, second] = all("select", viewer);
    first.addEventListener("change", () => show(left, first.selectedOptions[0]));
    second.addEventListener("change", () => show(right, second.selectedOptions[0]));
    const button = one("[data-flicker]", viewer);
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    const flicker = () => {
      if (state.timer) clearInterval(state.timer);
      // 600 ms a picture: 1.7 changes a second, below the 2 Hz that are safe to look at.
      let isRight = false;
      const change = () => {
        isRight = !isRight;
        right.style.visibility = isRight ? "visible" : "hidden";
        one(".tag", left).classList.toggle("shown", !isRight);
        one(".tag", right).classList.toggle("shown", isRight);
      };
      state.timer = state.timer || calm.matches ? null : setInterval(change, 600);
      box.classList.toggle("flicker", !!state.timer);
      if (state.timer) change(); else right.style.visibility = "visible";
      button.setAttribute("aria-pressed", String(!!state.timer));
      draw();
    };
    const calmed = () => { button.disabled = calm.matches; if (calm.matches && state.timer) flicker(); };
    calm.addEventListener("change", calmed);
    calmed();
    button.addEventListener("click", flicker);
    one("[data-zoom-in]", viewer).addEventListener("click", () => zoom(1.5));
    one("[data-zoom-out]", viewer).addEventListener("click", () => zoom(1 / 1.5));
    one("[data-zoom-reset]", viewer).addEventListener("click", reset);
    document.addEventListener("keydown", (event) => {
      if (typing(event)) return;
      const keys = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: reset, f: flicker, F: flicker };
      keys[event.key]?.();
    });
    draw();
  };
  // The pictures in the order of another metric, with its scores. The inputs stay first, what has no score is last.
  const order = (choice) => {
    const list = document.getElementById(choice.dataset.order);
    const { value: metric, dataset } = choice.selectedOptions[0];
    all(".score", list).forEach((score) => (score.hidden = score.dataset.metric !== metric));
    const value = (item) => Number(one(`.score[data-metric="${metric}"] [data-value]`, item)?.dataset.value ?? NaN);
    const sign = dataset.good === "lower" ? 1 : -1;
    const rows = [...list.children].filter((item) => !("input" in item.dataset)).map((item) => [value(item), item]);
    rows.sort(([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0);
    list.append(...rows.map(([, item]) => item));
  };
  all("select[data-order]").forEach((choice) => choice.addEventListener("change", () => order(choice)));

  all(".stage").forEach(stage);
})();
