// Checks of whole sites: each kind of page, whichever way it is reached.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, expectEqual } from "./harness.mjs";

/** The kinds of pages, by their paths below the site's root. */
const KINDS = {
  home: /^(index\.html)?$/,
  run: /^runs\/[^/]+\/index\.html$/,
  leaderboard: /^runs\/[^/]+\/leaderboard\/[^/]+\/[^/]+\.html$/,
  comparison: /^runs\/[^/]+\/compare\//,
  metrics: /^runs\/[^/]+\/metrics\/[^/]+\/index\.html$/,
  agreement: /^runs\/[^/]+\/metrics\/[^/]+\/(?!index)[^/]+\.html$/,
  scenes: /^runs\/[^/]+\/scenes\/[^/]+\/index(-\d+)?\.html$/,
  scene: /^runs\/[^/]+\/scenes\/[^/]+\/[^/]+\/[^/]+\.html$/,
  picture: /^runs\/[^/]+\/pictures\//,
  failures: /^runs\/[^/]+\/failures\.html$/,
  progress: /^runs\/[^/]+\/run\.html$/,
  provenance: /^runs\/[^/]+\/provenance\.html$/,
  studies: /^studies\/index\.html$/,
  study: /^studies\/(?!index)[^/]+\.html$/,
  trial: /^trials\//,
  workers: /^workers\.html$/,
};

/** Kinds whose pages show pictures. */
const WITH_PICTURES = ["comparison", "scenes", "scene", "picture"];

const kindOf = (path) => Object.keys(KINDS).find((kind) => KINDS[kind].test(path));

/** Follows links from the first page, and opens the first `most` pages of each kind. Calls `look` on each. */
async function crawl(session, kinds, most, look) {
  const queue = ["index.html"];
  const seen = new Set(queue);
  const opened = Object.fromEntries(kinds.map((kind) => [kind, []]));
  const files = new Set();
  while (queue.length > 0) {
    const path = queue.shift();
    const kind = kindOf(path);
    if (kind === undefined) {
      files.add(path);
      continue;
    }
    expect(kind in opened, `no page of the kind ${kind}, found ${path}`);
    if (opened[kind].length >= most) continue;
    opened[kind].push(path);
    const page = await session.open(path);
    await look(kind, path);
    const links = await page.evaluate(() =>
      // Of SVG too, whose links have no address of their own.
      [...document.querySelectorAll("a[href]")].map((link) => new URL(link.getAttribute("href"), document.baseURI).href),
    );
    for (const link of links.filter((link) => link.startsWith(session.base))) {
      const next = link.slice(session.base.length).split("#")[0];
      if (next === "" || seen.has(next)) continue;
      seen.add(next);
      queue.push(next);
    }
  }
  const missing = kinds.filter((kind) => opened[kind].length === 0);
  expectEqual(missing, [], "kinds of pages that no link leads to");
  return { opened, files };
}

/** Each kind of page loads; pictures load; files that pages link to are there; an unknown address is a page that says so. */
export async function eachKind(start, { kinds }) {
  const session = await start();
  const { files } = await crawl(session, kinds, 3, async (kind) => {
    if (WITH_PICTURES.includes(kind)) await session.expectPictures(1);
  });
  expect([...files].some((path) => path.endsWith(".csv")), "links to CSV");
  for (const path of files) {
    const answer = await session.context.request.get(session.url(path));
    expectEqual(answer.status(), 200, path);
  }
  session.allowed = ["404"];
  for (const path of ["nothing.html", "runs/none/index.html", "runs/~zz/index.html"]) await session.open(path, 404);
  await session.page.getByRole("link", { name: "dqa" }).first().click();
  await session.check();
}

/** axe finds nothing on any kind of page, in light and dark; and no page is wider than a phone. */
export async function accessible(start, { kinds }) {
  const session = await start();
  const page = await session.newPage();
  const found = [];
  await crawl(session, kinds, 1, async (kind, path) => {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      found.push(...(await session.violations(`${path} (${colorScheme})`)));
    }
    const size = page.viewportSize();
    await page.setViewportSize({ width: 390, height: 844 });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > 390) found.push(`${path} is ${width} pixels wide in a window of 390`);
    await page.setViewportSize(size);
  });
  expect(found.length === 0, `no violations by axe and no page wider than a phone, found:\n${found.join("\n")}`);
}

/** A folder that was exported opens from a disk: every kind of page, every link, every picture. */
export async function exported(start, { kinds, run, dataset }) {
  const session = await start();
  const { opened } = await crawl(session, kinds, 2, async (kind, path) => {
    if (WITH_PICTURES.includes(kind)) await session.expectPictures(1);
  });
  // All pages, without a browser: what they name exists.
  const all = new Set(Object.values(opened).flat());
  for (const path of all) {
    const text = readFileSync(fileURLToPath(session.url(path)), "utf8");
    for (const [, address] of text.matchAll(/ (?:href|src|data-full)="([^"]*)"/g)) {
      const url = new URL(address.replaceAll("&amp;", "&"), session.url(path));
      if (url.protocol === "data:" || url.hash !== "") continue;
      expect(url.href.startsWith(session.base), `${path} names nothing outside its folder, found ${address}`);
      expect(existsSync(fileURLToPath(url)), `${path} names files that exist, found ${address}`);
      const next = url.href.slice(session.base.length);
      if (next.endsWith(".html")) all.add(next);
    }
  }
  // By hand: from the first page to a picture.
  const page = await session.open("index.html");
  await page.getByRole("main").getByRole("link", { name: run, exact: true }).click();
  await session.check();
  await page.getByRole("link", { name: "Scenes", exact: true }).click();
  await page.getByRole("main").getByRole("rowheader").getByRole("link").first().click();
  await session.check();
  await page.getByRole("main").getByRole("rowheader").getByRole("link").first().click();
  await session.check();
  expect(page.url().includes(`/pictures/${dataset}/`), `a picture's page, found ${page.url()}`);
}

/** Names that look like HTML show as text, and nothing of them becomes an element. */
export async function names(start, { kinds, names, algorithms, run, dataset, metric }) {
  const session = await start();
  const page = await session.newPage();
  const shown = new Set();
  await crawl(session, kinds, 9, async () => {
    const { scripts, strangers, text } = await page.evaluate(() => ({
      scripts: [...document.scripts].filter((script) => script.textContent.includes("alert(")).length,
      strangers: document.querySelectorAll("img[src=x], [onerror], [onmouseover], b, marquee").length,
      text: document.body.innerText,
    }));
    expectEqual(scripts, 0, "scripts of names");
    expectEqual(strangers, 0, "elements of names");
    for (const name of names) if (text.includes(name)) shown.add(name);
  });
  expectEqual(names.filter((name) => !shown.has(name)), [], "names that no page shows");
  await session.open(`runs/${run}/leaderboard/${dataset}/${metric}.html`);
  for (const name of algorithms.slice(0, 2)) await page.getByRole("checkbox", { name: `Choose ${name}`, exact: true }).check();
  await page.getByRole("link", { name: /^Compare / }).click();
  await session.check();
  const heading = await page.getByRole("heading", { level: 1 }).innerText();
  for (const name of algorithms.slice(0, 2)) expect(heading.includes(name), `${name} in the heading, found ${heading}`);
  const body = await page.getByRole("main").textContent();
  expect(names.slice(3).some((scene) => body.includes(scene)), "a scene's name in the comparison");
}
