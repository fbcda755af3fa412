// Checks of dqa's pages in Chromium: `node pages.mjs GROUP JSON`. tests/tests/pages starts the servers and runs the groups.
// JSON has `base`, the address of the pages, `screenshots`, a folder, and what the group asks for. Elements are found by role,
// name, text and data attributes, never by layout.

import { runGroup } from "./harness.mjs";
import { accessible, eachKind, exported, names } from "./sites.mjs";
import { agreement, leaderboard } from "./tables.mjs";
import { scene } from "./scene.mjs";
import { actions, live, signIn } from "./coordinator.mjs";

const GROUPS = { accessible, actions, agreement, eachKind, exported, leaderboard, live, names, scene, signIn };

const [name, json] = process.argv.slice(2);
await runGroup(name, GROUPS[name], JSON.parse(json));
