// Lists what arrived, once a second.

const REFRESH_MS = 1000;
const find = (id) => document.getElementById(id);
const seconds = (value) => (value === null ? "" : `${value.toFixed(3)} s`);
const short = (runId) => (runId ?? "none").slice(0, 8);
const kinds = { time_spent: "time spent", completed: "completed" };

function say(text) {
  // Unchanged text stays untouched, so that a screen reader is not told the same thing each second.
  if (find("status").textContent !== text) find("status").textContent = text;
}

function fill(body, rows) {
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      for (const { text, number, title } of cells) {
        const cell = row.insertCell();
        cell.textContent = text;
        if (number) cell.className = "number";
        if (title) cell.title = title;
      }
      return row;
    }),
  );
}

function result({ metrics, attempt }) {
  if (!("xpEarned" in metrics)) return "";
  return `${metrics.correctQuestions} of ${metrics.totalQuestions}, ${metrics.xpEarned} XP, attempt ${attempt}`;
}

function show({ platform, events, runs }) {
  if (events === null) {
    say(`This server talks to Timeback's ${platform} platform: the events are there and are not listed here.`);
    return false;
  }
  say(`Events that have arrived: ${events.length}.`);
  find("runs-section").hidden = find("events-section").hidden = events.length === 0;
  fill(
    find("runs"),
    runs.map((run) => [
      { text: short(run.run_id), title: run.run_id },
      { text: run.windows, number: true },
      { text: seconds(run.active_seconds), number: true },
      { text: seconds(run.inactive_seconds), number: true },
      { text: run.completions === 0 ? "not yet" : run.completions === 1 ? "yes" : `${run.completions} times` },
    ]),
  );
  fill(
    find("events"),
    events.toReversed().map((event) => [
      { text: new Date(event.received_at).toLocaleTimeString(), title: event.received_at },
      { text: kinds[event.kind] },
      { text: short(event.run_id), title: event.run_id },
      { text: seconds(event.active_seconds), number: true },
      { text: seconds(event.inactive_seconds), number: true },
      { text: result(event) },
    ]),
  );
  return true;
}

async function refresh() {
  let again = true;
  try {
    const response = await fetch("/events.json");
    if (!response.ok) throw new Error(`status ${response.status}`);
    again = show(await response.json());
  } catch (error) {
    say(`The server does not answer (${error.message}); trying again.`);
  }
  if (again) setTimeout(refresh, REFRESH_MS);
}

refresh();
