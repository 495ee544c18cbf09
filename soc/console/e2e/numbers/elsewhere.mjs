/** Pages whose numbers numbers.test.mjs does not hold. */

/** Pages whose figures a test of their own holds: it drives what they count. */
export const ELSEWHERE = {
  '/agents': 'fleet.test.mjs',
  '/agents/hosts/:id': 'fleet.test.mjs',
  '/rules/new': 'rules.test.mjs',
  '/rules/:id': 'rules.test.mjs',
  '/rules/:id/edit': 'rules.test.mjs',
  '/graph': 'graph.test.mjs',
  '/admin/backups': 'lake.test.mjs',
  '/admin/audit': 'admin.test.mjs',
  '/admin/users/:id': 'admin.test.mjs',
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
