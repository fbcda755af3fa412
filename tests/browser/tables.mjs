// Checks of a leaderboard and of a metric against labels: sorting, search, files, comparison, and points that lead to pictures.

import { readFileSync } from "node:fs";
import { expect, expectEqual } from "./harness.mjs";

/** The columns of a leaderboard's files by the headers of the page. */
const COLUMNS = {
  rank: "rank",
  within: "rank_best",
  algorithm: "algorithm",
  group: "rank_group",
  score: "adjusted_score",
  label: "mean_mos",
  gain: "gain",
  scenes: "scenes",
  failed: "failed",
  "p next": "p_next",
};

/** Returns the headers of a table, and the values of its visible rows. */
function readTable(page, id) {
  return page.evaluate((id) => {
    const table = document.getElementById(id);
    const value = (cell) => {
      const owner = cell.matches("[data-value]") ? cell : cell.querySelector("[data-value]");
      return owner ? owner.dataset.value : "";
    };
    return {
      headers: [...table.tHead.rows[0].cells].map((cell) => cell.querySelector("button")?.textContent ?? ""),
      sorted: [...table.tHead.rows[0].cells].map((cell) => cell.getAttribute("aria-sort")),
      rows: [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(value)),
    };
  }, id);
}

const isNumber = (text) => text !== "" && !Number.isNaN(Number(text));

/** Checks that values are in order; what is missing comes last. */
function expectSorted(values, direction, subject) {
  const present = values.filter((value) => value !== "");
  expectEqual(values.slice(0, present.length), present, `${subject}: missing values last`);
  for (let index = 1; index < present.length; index++) {
    const [a, b] = present.slice(index - 1, index + 1);
    const order = isNumber(a) && isNumber(b) ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
    const isSorted = direction === "ascending" ? order <= 0 : order >= 0;
    expect(isSorted, `${subject} ${direction}, found ${a} before ${b}`);
  }
}

/** Checks that a file has the rows that the page shows, in their order. */
async function expectFile(session, name) {
  const { page } = session;
  const waiting = page.waitForEvent("download");
  await page.getByRole("link", { name, exact: true }).click();
  const download = await waiting;
  expect(download.suggestedFilename().endsWith(`.${name.toLowerCase()}`), `a file *.${name.toLowerCase()}, found ${download.suggestedFilename()}`);
  const text = readFileSync(await download.path(), "utf8");
  const rows = name === "CSV" ? readCsv(text) : JSON.parse(text);
  const table = await readTable(page, "board");
  expectEqual(rows.length, table.rows.length, `rows of ${name}`);
  for (const [header, column] of Object.entries(COLUMNS)) {
    const position = table.headers.indexOf(header);
    if (position < 0) continue;
    const shown = table.rows.map((row) => (isNumber(row[position]) ? Number(row[position]) : row[position]));
    const written = rows.map((row) => (row[column] === null ? "" : isNumber(String(row[column])) ? Number(row[column]) : row[column]));
    expectEqual(written, shown, `${column} of ${name}`);
  }
}

/** Reads CSV; no cell of the demo has a comma. */
function readCsv(text) {
  const [names, ...lines] = text.trimEnd().split("\n").map((line) => line.split(","));
  return lines.map((cells) => Object.fromEntries(names.map((name, index) => [name, cells[index]])));
}

export async function leaderboard(start, { run, dataset, metric, other }) {
  const session = await start();
  const page = await session.open(`runs/${run}/leaderboard/${dataset}/${metric}.html`);
  const initial = await readTable(page, "board");
  expect(initial.rows.length > 3, "rows of algorithms");
  expectEqual(initial.sorted.filter((state) => state !== null).length, 1, "sorted columns as the page comes");
  for (const name of ["CSV", "JSON"]) await expectFile(session, name);

  const board = page.getByRole("table", { name: `Leaderboard by ${metric}` });
  const headers = initial.headers.filter((header) => header !== "");
  for (const header of headers) {
    const seen = [];
    for (let click = 0; click < 2; click++) {
      // The style adds an arrow to the header of the sorted column.
      await board.getByRole("button", { name: new RegExp(`^${header}( [\u2191\u2193])?$`) }).click();
      const { headers, sorted, rows } = await readTable(page, "board");
      const position = headers.indexOf(header);
      expectEqual(sorted.map((state, index) => (state === null ? -1 : index)).filter((index) => index >= 0), [position], "the sorted column");
      expectSorted(rows.map((row) => row[position]), sorted[position], header);
      expectEqual(rows.length, initial.rows.length, "rows after sorting");
      seen.push(sorted[position]);
    }
    expectEqual(seen.sort(), ["ascending", "descending"], `directions of ${header}`);
  }

  const algorithms = initial.rows.map((row) => row[initial.headers.indexOf("algorithm")]);
  const search = page.getByRole("searchbox", { name: "Search algorithms" });
  const wanted = algorithms[1];
  await search.fill(wanted.slice(0, 3).toUpperCase());
  const found = (await readTable(page, "board")).rows.map((row) => row[initial.headers.indexOf("algorithm")]);
  expectEqual(found.toSorted(), algorithms.filter((name) => name.includes(wanted.slice(0, 3))).toSorted(), "rows that are found");
  for (const name of ["CSV", "JSON"]) await expectFile(session, name);
  await search.fill("no such algorithm");
  expectEqual((await readTable(page, "board")).rows.length, 0, "rows that nothing matches");
  await search.fill("");
  expectEqual((await readTable(page, "board")).rows.length, algorithms.length, "rows without a search");

  await expectComparison(session, initial);
  const next = await session.open(`runs/${run}/leaderboard/${dataset}/${metric}.html`);
  await next.getByRole("navigation", { name: "Metric" }).getByRole("link", { name: other, exact: true }).click();
  await session.check();
  expect(next.url().endsWith(`/${other}.html`), `the leaderboard by ${other}, found ${next.url()}`);
}

/** Two chosen rows lead to their comparison, whichever is chosen first: the better one comes first. */
async function expectComparison(session, table) {
  const { page } = session;
  const column = (row, header) => row[table.headers.indexOf(header)];
  const ranked = table.rows.filter((row) => column(row, "rank") !== "");
  const [better, worse] = [column(ranked[0], "algorithm"), column(ranked.at(-1), "algorithm")];
  await page.getByRole("checkbox", { name: `Choose ${worse}`, exact: true }).check();
  await page.getByRole("checkbox", { name: `Choose ${better}`, exact: true }).check();
  const third = page.getByRole("checkbox", { name: `Choose ${column(ranked[1], "algorithm")}`, exact: true });
  expect(await third.isDisabled(), "no third row can be chosen");
  await page.getByRole("link", { name: `Compare ${better} and ${worse}`, exact: true }).click();
  await session.check();
  expectEqual(await page.getByRole("heading", { level: 1 }).innerText(), `${better} and ${worse}`, "the comparison's heading");
  await session.expectPictures(1);
  await page.getByLabel(`${better} minus ${worse}`).waitFor();
  const folded = page.getByRole("group").filter({ hasText: "Table" }).first();
  await folded.getByText("Table", { exact: true }).click();
  await folded.getByRole("table").waitFor();
}

/** A point of the scatter says what it is, and leads to its picture; a legend's button leaves its algorithm alone. */
export async function agreement(start, { run, dataset, metric }) {
  const session = await start();
  const page = await session.open(`runs/${run}/metrics/${dataset}/${metric}.html`);
  const chart = page.getByLabel(`${metric} against the labels`);
  const links = chart.locator("a[href]");
  expect((await links.count()) > 10, "points that are links");
  // A point that no other covers.
  const free = await chart.evaluate((area) => {
    area.scrollIntoView({ block: "center" });
    return [...area.querySelectorAll("a[href]")].findIndex((link) => {
      const { x, y, width, height } = link.getBoundingClientRect();
      return link.contains(document.elementFromPoint(x + width / 2, y + height / 2));
    });
  });
  expect(free >= 0, "a point that no other covers");
  const point = links.nth(free);
  await point.hover();
  const tip = page.getByText(/^.+, .+: score .+, label .+$/).last();
  const [, algorithm, scene] = (await tip.innerText()).match(/^(.+), (.+): score .+, label .+$/);
  await point.click();
  await session.check();
  expect(page.url().includes(`/runs/${run}/pictures/${dataset}/`), `a picture's page, found ${page.url()}`);
  expectEqual(await page.getByRole("heading", { level: 1 }).innerText(), `${algorithm}: ${scene}`, "the picture that was clicked");
  await session.expectPictures(1);
  await page.goBack();

  const button = page.getByRole("list", { name: "Algorithms" }).first().getByRole("button", { name: algorithm, exact: true });
  await button.click();
  expectEqual(await button.getAttribute("aria-pressed"), "true", "the legend's button");
  const series = await button.getAttribute("data-series");
  await expectShown(session, "the points of one algorithm alone", series);
  await button.click();
  await expectShown(session, "all points", null);
  expect((await page.getByLabel("minus the fitted curve").locator("a[href]").count()) > 10, "residuals that are links");
}

/** Waits until the points of one series alone are opaque, or all. */
async function expectShown(session, expectation, series) {
  await session.wait(
    expectation,
    (series) =>
      [...document.querySelectorAll('[aria-label*="against the labels"] [data-series]')].every((mark) => {
        return Number(getComputedStyle(mark).opacity) > 0.5 === (series === null || mark.dataset.series === series);
      }),
    series,
  );
}
