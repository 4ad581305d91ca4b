// The ground truth: what a page's own events say of its time. It knows nothing of tb_browser.
//
// observer.begin(hiddenTimeoutMs), note("asked") and note("resumed") around a pause, finish(), tally(): milliseconds.
// Active: visible, not frozen, not away in the back/forward cache, not asked to pause. Inactive: the rest, but
// nothing from the moment the page was frozen, went away, or was hidden for hiddenTimeoutMs, until it is seen again.
globalThis.observer = (() => {
  let log = [], timeout = Infinity, ticked = 0, longest = 0;
  const note = (what, ms = performance.now()) => { log.push([ms, what]); };

  document.addEventListener("visibilitychange", (event) => note(document.visibilityState, event.timeStamp), true);
  for (const name of ["freeze", "resume"]) {
    document.addEventListener(name, (event) => note(name, event.timeStamp), true);
  }
  for (const name of ["pagehide", "pageshow"]) {
    window.addEventListener(name, (event) => note(name, event.timeStamp), true);
  }
  // A page that is not kept for the way back leaves its account to the next one in the tab.
  window.addEventListener("pagehide", (event) => {
    if (log.length === 0) return;
    note("finish", event.timeStamp);
    sessionStorage.setItem("observer", JSON.stringify(tally()));
    log.pop();
  });
  setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - ticked);
    ticked = now;
  }, 1000);

  function begin(hiddenTimeoutMs = 600_000) {
    timeout = hiddenTimeoutMs;
    longest = 0;
    ticked = performance.now();
    log = [[ticked, document.visibilityState], [ticked, "begin"]];
  }

  function tally() {
    const is = { visible: true, frozen: false, away: false, asked: false, asleep: false, running: false };
    let active = 0, inactive = 0, at = 0, hiddenAt = 0, began = 0, ended = 0;
    for (const [ms, what] of [...log].sort((a, b) => a[0] - b[0])) {
      if (is.running && !is.asleep) {
        if (is.visible && !is.asked) active += ms - at;
        else if (is.visible) inactive += ms - at;
        else {
          const until = Math.min(ms, hiddenAt + timeout);
          inactive += Math.max(0, until - at);
          is.asleep = until < ms;
        }
      }
      at = ms;
      if (what === "visible") is.visible = true;
      if (what === "hidden") { if (is.visible) hiddenAt = ms; is.visible = false; }
      if (what === "freeze") is.frozen = is.asleep = true;
      if (what === "resume") is.frozen = false;
      if (what === "pagehide") is.away = is.asleep = true;
      if (what === "pageshow") is.away = false;
      if (what === "asked") is.asked = true;
      if (what === "resumed") is.asked = false;
      if (what === "begin") { is.running = true; began = ms; if (!is.visible) hiddenAt = ms; }
      if (what === "finish") { is.running = false; ended = ms; }
      if (is.visible && !is.frozen && !is.away) is.asleep = false;
    }
    return { activeMs: active, inactiveMs: inactive, sessionMs: ended - began, longestGapMs: longest, log };
  }

  return { begin, note, finish: () => note("finish"), tally };
})();
