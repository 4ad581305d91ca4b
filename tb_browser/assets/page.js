// The page's part, for Python in a worker or a kernel (tb_browser/hosts/relay.py). It tells of the page's life, in the
// events' own time, and sends the last window when the page is left. Python says how time counts; here is only added
// what has passed since.

const PULSE_MS = 2000;
const ASLEEP_MS = 30000;

export function relay({ hooks, name = `tb_browser/${tabToken()}/${uuid()}` } = {}) {
  const channel = new BroadcastChannel(name);
  const { told } = watch((message) => channel.postMessage({ ...message, to: "python" }));
  channel.onmessage = ({ data }) => data.to === "page" && told(data);
  const code = `import os; os.environ["TB_BROWSER_PAGE"] = "${name}"`;
  for (const when of ["codeBeforeRun", "codeBeforeRunAsync"]) hooks?.worker[when].add(code);
  return name;
}

export function watch(post) {
  const stops = new AbortController();
  const isVisible = () => document.visibilityState === "visible";
  let guard = null; // the request that Python would have us send now, and since when it is right
  let pulse = clock(); // when this page was last surely awake
  let seen = []; // [when, visible]: what has changed since the guard was given
  let inputs = false;

  const listen = (target, name, call) =>
    target.addEventListener(name, (event) => call(clock(event.timeStamp)), {
      capture: true, passive: true, signal: stops.signal,
    });
  const tell = (signal, at, more) => post({ signal, at, ...more });

  // The window as it is at `until`. A visible page that has not run for long was asleep, which counts as nothing.
  function grown(until) {
    const body = { ...guard.body };
    const ms = { elapsedMs: body.elapsedMs, pausedMs: body.pausedMs };
    let { at, visible } = guard;
    if (isVisible() && until - pulse > ASLEEP_MS) until = pulse;
    for (const [when, next] of [...seen, [until, null]]) {
      ms[visible && guard.active ? "elapsedMs" : "pausedMs"] += Math.max(0, when - at);
      [at, visible] = [Math.max(at, when), next];
    }
    body.elapsedMs = Math.floor(ms.elapsedMs);
    body.pausedMs = Math.floor(ms.pausedMs);
    body.endedAt = new Date(Date.parse(body.startedAt) + body.elapsedMs + body.pausedMs).toISOString();
    return body;
  }

  function leave(at) {
    const sent = guard && grown(at);
    if (sent && sent.elapsedMs + sent.pausedMs) {
      const { url, headers, credentials } = guard;
      fetch(url, {
        method: "POST", headers, credentials, body: JSON.stringify(sent), keepalive: true, cache: "no-store",
      }).then(
        async (answer) => post({ answered: sent, status: answer.status, text: await answer.text() }),
        (error) => post({ answered: sent, why: `${error}` }),
      );
    }
    guard = null;
    tell("frozen", at, { sent });
  }

  function told(message) {
    inputs = message.inputs ?? inputs;
    if (message.hello) post({ hello: 1, at: clock(), visible: isVisible() });
    if ("ping" in message) post({ pong: message.ping });
    if ("guard" in message) {
      guard = message.guard;
      seen = seen.filter(([when]) => guard && when > guard.at);
      if (guard) guard.visible = seen.length ? !seen[0][1] : isVisible();
    }
  }

  listen(document, "visibilitychange", (at) => {
    seen.push([at, isVisible()]);
    tell(isVisible() ? "shown" : "hidden", at);
  });
  listen(window, "pagehide", leave);
  listen(window, "pageshow", (at) => tell("thawed", at));
  listen(document, "freeze", (at) => tell("frozen", at));
  listen(document, "resume", (at) => tell("thawed", at));
  let noted = 0;
  for (const name of ["keydown", "input", "pointerdown", "pointermove", "wheel", "touchstart", "scroll"])
    listen(window, name, (at) => {
      if (inputs && at - noted > 200) tell("input", (noted = at));
    });
  const timer = setInterval(() => {
    if (guard && isVisible() && clock() - pulse > ASLEEP_MS) guard = null; // Python finds the sleep itself
    pulse = clock();
    post({ pulse });
  }, PULSE_MS);
  stops.signal.addEventListener("abort", () => clearInterval(timer));
  post({ hello: 0, at: clock(), visible: isVisible() });
  return { told, stop: () => stops.abort() };
}

// One clock for the page and its workers: milliseconds since 1970 at the start, never set afterwards.
const clock = (at = performance.now()) => performance.timeOrigin + at;
const uuid = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");

function tabToken() {
  try {
    return (sessionStorage["tb_browser/tab"] ??= uuid());
  } catch {
    return uuid(); // blocked storage
  }
}
