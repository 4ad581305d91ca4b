// The notebook's badge. It is appended to page.js, so that one module holds both: notebooks load a widget from its text.

const QUIET_MS = 3500; // Python answers every pulse; when it does not, it is busy
const links = new Map();

export default {
  // Once for each badge, however often its cell shows it.
  initialize({ model }) {
    const name = model.get("channel");
    const channel = name && new BroadcastChannel(name);
    const link = { heard: performance.now(), since: performance.now() };
    const page = watch((message) =>
      channel ? channel.postMessage({ ...message, to: "python" }) : model.send({ relay: message }),
    );
    const take = (message) => {
      link.heard = performance.now();
      page.told(message);
      // A kernel that was restarted leaves its lock: what it last told is no longer right.
      if (message.held) {
        navigator.locks.request(name, () => {
          link.gone = true;
          page.stop();
        });
      }
    };
    if (channel) channel.onmessage = ({ data }) => data.to === "page" && take(data);
    model.on("msg:custom", ({ relay }) => relay && take(relay));
    model.on("change:shown", () => (link.since = link.heard = performance.now()));
    // Python gets a cell's metadata with the cell (track() in notebook.py); only the page can write them.
    const keep = () => {
      const { cell: id, ...metadata } = model.get("kept");
      for (const cell of (id && model.widget_manager?.context?.model?.cells) || [])
        if (cell.id === id) for (const [name, value] of Object.entries(metadata)) cell.setMetadata(name, value);
    };
    model.on("change:kept", keep);
    keep();
    links.set(model.get("key"), link);
    return () => {
      page.stop();
      channel?.close?.();
      links.delete(model.get("key"));
    };
  },

  render({ model, el }) {
    const make = (tag, properties, ...children) => {
      const element = Object.assign(document.createElement(tag), properties);
      element.append(...children);
      return element;
    };
    const time = make("span", { className: "tb-time" });
    const state = make("span", { className: "tb-state", role: "status" });
    const delivery = make("span", { className: "tb-delivery" });
    const button = make("button", { type: "button" });
    time.setAttribute("role", "timer");
    const badge = make("div", { className: "tb-badge" }, time, state, delivery, button);
    badge.setAttribute("role", "group");
    el.append(badge);

    button.onclick = () => model.send({ ask: model.get("shown").state === "paused" ? "resume" : "pause" });
    const write = (element, text) => element.textContent === text || (element.textContent = text);

    const draw = () => {
      const shown = model.get("shown");
      const link = links.get(model.get("key"));
      const now = performance.now();
      const stated = link?.gone ? "stopped" : shown.state;
      const running = stated === "running";
      const seconds = Math.floor((shown.active_ms + (running && link ? now - link.since : 0)) / 1000);
      const busy = (running || stated === "paused") && link && now - link.heard > QUIET_MS;
      badge.setAttribute("aria-label", `Learning time: ${shown.name}`);
      badge.dataset.state = busy ? "busy" : stated;
      write(time, `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")}`);
      write(state, busy ? "busy" : stated + (shown.visibility_known ? "" : ", visibility unknown"));
      write(delivery, deliveryText(shown));
      write(button, stated === "paused" ? "Resume" : "Pause");
      button.hidden = stated === "ended" || stated === "stopped";
    };
    model.on("change:shown", draw);
    const timer = setInterval(draw, 500);
    draw();
    return () => {
      clearInterval(timer);
      model.off("change:shown", draw);
    };
  },
};

function deliveryText({ delivered_at, waiting, trouble }) {
  if (trouble) return trouble;
  const at = delivered_at && new Date(delivered_at).toLocaleTimeString();
  return (at ? `delivered ${at}` : "not delivered yet") + (waiting ? `, ${waiting} waiting` : "");
}
