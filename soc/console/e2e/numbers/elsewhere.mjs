/** Pages whose numbers numbers.test.mjs does not hold. */

/** Pages whose figures a test of their own holds: its file, and the step that drives what they count. */
export const ELSEWHERE = {
  '/agents': ['fleet.test.mjs', 'a host is added by its line'],
  '/agents/hosts/:id': ['fleet.test.mjs', "a host's page tells what it is and how it fares"],
  '/finding-orders': ['findings.test.mjs', 'a work order is made of findings, and says how many are left'],
  '/finding-orders/:id': ['findings.test.mjs', 'a work order is made of findings, and says how many are left'],
  '/vulnerabilities/:id': ['findings.test.mjs', 'published vulnerabilities are taken in, and lead to the assets that have them'],
  '/scans': ['findings.test.mjs', 'the scanner finds what is published, and the second scan what changed'],
  '/scans/:id': ['findings.test.mjs', 'the scanner finds what is published, and the second scan what changed'],
  '/surface': ['findings.test.mjs', 'the scanner finds what is published, and the second scan what changed'],
  '/findings/:id': ['findings.test.mjs', 'a finding is moved, and its history says so in words'],
  '/rules/new': ['rules.test.mjs', 'it is tried on stored events before it is kept'],
  '/rules/:id': ['rules.test.mjs', 'saved, it is in force at once: an event raises its alert, with what matched marked'],
  '/rules/:id/edit': ['rules.test.mjs', 'a change is a version, the one before comes back, and what is deleted too'],
  '/graph': ['graph.test.mjs', 'what it met is opened by keyboard, closed, hidden and undone'],
  '/admin/audit': ['admin.test.mjs', 'the audit log shows what changed, verifies, and replays a user'],
  '/admin/users/:id': ['admin.test.mjs', 'the security administrator gives a role and a data scope, checked while it is typed'],
};

/** Pages that show no figure, and why. */
export const WITHOUT = {
  '/login': 'a form',
  '/welcome': 'forms of the first steps',
  '/me': "a form of one's own account",
  '/connect': 'settings to copy',
  '/notices/new': 'a form',
  '/notices/:id/edit': 'a form',
  '/cmdb/items/new': 'a form',
  '/cmdb/:id/edit': 'a form',
  '/orders/connections': 'names, addresses and states',
  '/inhibitions': 'names and conditions',
  '/notify/contacts': 'names and kinds',
  '/notify/wordings': 'names and texts',
  '/cmdb/rules': 'kinds of relations in words',
  '/knowledge': 'titles to choose from',
  '/event-levels': 'a form: its figures are entered',
  '/admin/masking': 'patterns; how they hide is entered',
  '/admin/identity-providers': 'names and states',
  '/admin/identity-providers/:id': 'a form',
  '/admin/applications': 'names, addresses and states',
  '/admin/applications/:id': 'a form',
  '/admin/transitions': 'a table of what may become what',
};
