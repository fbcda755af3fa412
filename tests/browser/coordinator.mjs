// Checks of the pages of a coordinator: a run that goes on, requests with their confirmation, and signing in.

import { expect, expectEqual } from "./harness.mjs";

/** Signs in with a token. */
async function enter(page, token) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** A run goes from nothing to its end without a reload: by events, and by polling where events fail. */
export async function live(start, { run, pictures }) {
  const polled = await start();
  // What the browser says of the events that are cut off.
  polled.allowed = ["net::ERR_FAILED"];
  await polled.context.route("**/*.events", (route) => route.abort());
  const listening = await start();
  const home = await start();
  for (const session of [polled, listening]) {
    const page = await session.open(`runs/${run}/run.html`);
    await page.evaluate(() => (window.isFirst = true));
    await page.getByText("No worker is connected.").waitFor();
    expectEqual(await figure(page, "shards"), `0 of ${pictures}`, "shards before there is a worker");
  }
  const list = await home.open("index.html");
  await list.getByRole("row").filter({ hasText: run }).getByText(/^(planning|running)$/).waitFor();
  await list.evaluate(() => (window.isFirst = true));
  // The test waits for this line, and starts a worker.
  console.log("ready");
  for (const session of [listening, polled]) {
    const { page } = session;
    await state(page).filter({ hasText: /^complete$/ }).waitFor();
    expectEqual(await figure(page, "shards"), `${pictures} of ${pictures}`, "shards at the end");
    expect(await page.evaluate(() => window.isFirst === true), "a page that was not loaded again");
    expect((await page.getByRole("table").getByRole("row").count()) > 1, "a worker in the table");
    session.expectNoFaults();
  }
  await list.getByRole("row").filter({ hasText: run }).getByText("complete", { exact: true }).waitFor();
  expect(await list.evaluate(() => window.isFirst === true), "a list that was not loaded again");
  await listening.page.getByRole("main").getByRole("link", { name: "Its leaderboard" }).click();
  await listening.check();
  await listening.page.getByRole("table").getByRole("rowheader").first().waitFor();
  await listening.open("workers.html");
  await listening.page.getByRole("group").filter({ hasText: "Drain " }).first().waitFor();
  await listening.expectAccessible("workers.html");
  const drain = listening.page.getByRole("group").filter({ hasText: "Drain " }).first();
  await drain.getByText(/^Drain /).first().click();
  await drain.getByRole("button", { name: /^Drain / }).click();
  await listening.page.getByText(/^draining$|^No worker is connected/).first().waitFor();
  await listening.check();
}

/** Returns the text of a figure of a run, which the page names. */
async function figure(page, name) {
  const text = await page.getByRole("definition").filter({ hasText: /\d/ }).evaluateAll(
    (values, name) => values.find((value) => value.previousElementSibling?.textContent === name)?.textContent,
    name,
  );
  return text?.replace(/\s+/g, " ");
}

/** A run is paused, resumed and cancelled: nothing is done before the second click. */
export async function actions(start, { run, token }) {
  const session = await start();
  const page = await session.open(`runs/${run}/run.html`);
  await enter(page, token);
  await session.check();
  const steps = [
    ["Pause", /No more shards are handed out/, "paused"],
    ["Resume", /The run goes on/, "running"],
    ["Cancel", /The run stops/, "cancelled"],
  ];
  let before = (await state(page).first().innerText()).trim();
  for (const [name, consequence, after] of steps) {
    const action = page.getByRole("group").filter({ has: page.getByRole("button", { name, exact: true, includeHidden: true }) });
    await expectHidden(action.getByRole("button", { name, exact: true }), `the button ${name} before the first click`);
    await action.getByText(name, { exact: true }).first().click();
    await action.getByText(consequence).waitFor();
    await session.expectAccessible(`confirmation of ${name}`);
    const other = await session.context.request.get(page.url());
    expect((await other.text()).includes(`>${before}</strong>`), `the run is ${before} before ${name} is confirmed`);
    await action.getByRole("button", { name, exact: true }).click();
    await state(page).filter({ hasText: new RegExp(`^${after}$`) }).waitFor();
    await session.check();
    before = after;
  }
  expectEqual(await page.getByRole("button", { name: "Cancel", includeHidden: true }).count(), 0, "buttons to cancel what is cancelled");
}

/** Returns where the run's state stands. */
const state = (page) => page.getByRole("main").getByRole("strong");

async function expectHidden(locator, subject) {
  expect((await locator.count()) === 0 || !(await locator.isVisible()), `${subject} is not shown`);
}

/** A browser without a session sees a form and nothing of the store; a wrong token is refused; a right one begins a session. */
export async function signIn(start, { run, dataset, token, wrong, secrets }) {
  const session = await start();
  // What the browser says of answers without a session.
  session.allowed = ["401"];
  const target = `runs/${run}/scenes/${dataset}/index.html`;
  const page = await session.open(target);
  const isForm = () => new URL(page.url()).pathname === "/sign-in.html";
  expect(isForm(), `the sign-in page, found ${page.url()}`);
  await session.expectAccessible("sign-in page");
  await enter(page, wrong);
  expectEqual(await page.getByRole("alert").innerText(), "This token is not valid.", "the refusal");
  await session.check();
  await session.expectAccessible("refusal");
  expectEqual(await session.context.cookies(), [], "cookies after a refusal");

  const other = await start();
  await other.open("index.html");
  const html = await other.page.content();
  expectEqual(secrets.filter((secret) => html.includes(secret)), [], "what the sign-in page shows of the store");

  await enter(page, token);
  await session.check();
  expectEqual(new URL(page.url()).pathname, `/${target}`, "the page that was asked for");
  await session.expectPictures(1);
  const cookies = await session.context.cookies();
  const shown = cookies.map(({ httpOnly, sameSite, path }) => ({ httpOnly, sameSite, path }));
  expectEqual(shown, [{ httpOnly: true, sameSite: "Strict", path: "/" }], "cookies of the session");
  expect(!cookies[0].value.includes(token), "no token in the cookie");
  expectEqual(await page.evaluate(() => document.cookie), "", "cookies that a script can read");

  await page.getByRole("button", { name: "Sign out" }).click();
  expect(isForm(), `the sign-in page after signing out, found ${page.url()}`);
  expectEqual(await session.context.cookies(), [], "cookies after signing out");
  await session.open(target);
  expect(isForm(), `the sign-in page without a session, found ${page.url()}`);
}
