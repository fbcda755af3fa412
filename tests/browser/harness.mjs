// What every group of checks uses: Chromium by playwright-core, pages that are watched for errors, and expectations that say
// what was found. It knows nothing of what the pages show.

import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.DQA_PLAYWRIGHT, "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// A condition that does not hold by then is taken for a hang.
const TIMEOUT = 60_000;

/** What a check expected and did not find. */
class Unmet extends Error {}

/** Fails unless the condition holds. */
export function expect(condition, expectation) {
  if (!condition) throw new Unmet(expectation);
}

/** Fails unless both are equal as JSON. */
export function expectEqual(found, expected, subject) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  expect(a === b, `${subject}: expected ${b}, found ${a}`);
}

/** A browser's context whose pages are watched: errors, and requests to anywhere but one place. */
export class Session {
  static async start(browser, base, options = {}) {
    const context = await browser.newContext({ acceptDownloads: true, reducedMotion: "no-preference", ...options });
    context.setDefaultTimeout(TIMEOUT);
    const session = new Session(context, base);
    await context.exposeBinding("reportViolation", (_, text) => session.faults.push(`CSP violation: ${text}`));
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    context.on("page", (page) => session.watch(page));
    context.on("request", (request) => {
      if (!isAllowed(request.url(), base)) session.faults.push(`request to ${request.url()}`);
    });
    return session;
  }

  constructor(context, base) {
    this.context = context;
    this.base = base;
    this.faults = [];
    // Texts of console errors that the current check brings about.
    this.allowed = [];
    this.page = null;
  }

  watch(page) {
    page.on("pageerror", (error) => this.faults.push(`error in ${page.url()}: ${error.message}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("console", (message) => {
      const isAllowed = this.allowed.some((text) => message.text().includes(text));
      if (["error", "warning"].includes(message.type()) && !isAllowed) {
        this.faults.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
      }
    });
  }

  /** Returns the address of a path below the site's root. */
  url(path) {
    return new URL(path, this.base).href;
  }

  async newPage() {
    this.page = await this.context.newPage();
    return this.page;
  }

  /** Opens a path, or an address, and checks what holds for every page. Returns the page. */
  async open(path, status = 200) {
    const page = this.page ?? (await this.newPage());
    const response = await page.goto(this.url(path));
    if (this.base.startsWith("http")) expectEqual(response.status(), status, "status");
    await this.check();
    return page;
  }

  /** Checks what holds for every page: a title, one heading, all text in English, no fault so far. */
  async check() {
    const { page } = this;
    expect(/^.+ \u00b7 dqa$/.test(await page.title()), `a title that ends in "\u00b7 dqa", found "${await page.title()}"`);
    expectEqual(await page.locator("h1:visible").count(), 1, "number of h1");
    expect((await page.getByRole("heading", { level: 1 }).innerText()).trim() !== "", "a heading with text");
    expect(await page.getByRole("main").isVisible(), "a main part");
    this.expectNoFaults();
  }

  expectNoFaults() {
    expect(this.faults.length === 0, `no errors and no requests elsewhere, found:\n  ${this.faults.join("\n  ")}`);
  }

  /** Waits until a function of the page returns true. */
  async wait(expectation, condition, argument) {
    try {
      await this.page.waitForFunction(condition, argument);
    } catch (error) {
      throw new Unmet(`${expectation} (${error.message.split("\n")[0]})`);
    }
  }

  /** Checks that all pictures of the page load, also those that are not in the window. */
  async expectPictures(least) {
    const broken = await this.page.evaluate(async () => {
      const images = [...document.images];
      images.forEach((image) => (image.loading = "eager"));
      const loads = images.map((image) => image.decode().then(() => null, () => image.currentSrc || image.src));
      return { count: images.length, broken: (await Promise.all(loads)).filter((address) => address !== null) };
    });
    expectEqual(broken.broken, [], "pictures that do not load");
    expect(broken.count >= least, `${least} pictures or more, found ${broken.count}`);
  }

  /** Checks the page with axe. */
  async expectAccessible(subject) {
    const violations = await this.violations(subject);
    expect(violations.length === 0, `no violations by axe, found:\n${violations.join("\n")}`);
  }

  /** Returns what axe finds on the page, as text. */
  async violations(subject) {
    const { page } = this;
    if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
    const found = await page.evaluate(async () => {
      const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
      return violations.map(({ id, help, nodes }) => {
        const shown = nodes.slice(0, 3).map((node) => `    ${node.html.slice(0, 200)}\n      ${node.any[0]?.message ?? node.failureSummary}`);
        return `${id}: ${help}, ${nodes.length} elements\n${shown.join("\n")}`;
      });
    });
    return found.map((violation) => `${subject}: ${violation}`);
  }
}

function isAllowed(url, base) {
  if (url.startsWith("data:")) return true;
  if (base.startsWith("file:")) return url.startsWith(base) || url.startsWith("blob:");
  const { origin } = new URL(base);
  return url.startsWith(`${origin}/`) || url.startsWith(`blob:${origin}/`);
}

/** Runs a group. A failure prints the expectation, the address and the path of a screenshot, and exits with 1. */
export async function runGroup(name, group, { base, screenshots, ...rest }) {
  const browser = await chromium.launch({ executablePath: process.env.DQA_CHROMIUM, args: ["--no-sandbox"] });
  const sessions = [];
  const start = async (options) => {
    const session = await Session.start(browser, base, { viewport: { width: 1440, height: 900 }, ...options });
    sessions.push(session);
    return session;
  };
  try {
    await group(start, rest);
    sessions.forEach((session) => session.expectNoFaults());
  } catch (error) {
    const last = sessions.at(-1)?.page;
    const file = join(screenshots, `${name}.png`);
    mkdirSync(screenshots, { recursive: true });
    const shot = await last?.screenshot({ path: file, fullPage: true }).then(() => file, () => null);
    console.error(error instanceof Unmet ? `expected: ${error.message}` : error.stack);
    console.error(`url: ${last?.url() ?? "no page"}\nscreenshot: ${shot ?? "none"}`);
    for (const fault of sessions.flatMap((session) => session.faults)) console.error(`fault: ${fault}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
