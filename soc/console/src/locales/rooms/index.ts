import { accounts } from './accounts';
import { audit } from './audit';
import { federation } from './federation';
import { frame } from './frame';
import { groups } from './groups';
import { keys } from './keys';
import { search } from './search';
import { sessions } from './sessions';
import { settings } from './settings';
import { signin } from './signin';
import { tokens } from './tokens';
import { roles } from './roles';
import { units } from './units';

/** The texts of the rooms that keep both languages side by side. */
export const rooms = { ...federation, ...frame, ...accounts, ...units, ...roles, ...groups, ...keys, ...audit, ...search, ...sessions, ...settings, ...signin, ...tokens };
