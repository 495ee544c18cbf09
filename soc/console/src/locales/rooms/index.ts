import { accounts } from './accounts';
import { alertsources } from './alertsources';
import { audit } from './audit';
import { duty } from './duty';
import { casework } from './casework';
import { connect } from './connect';
import { federation } from './federation';
import { flows } from './flows';
import { forwarding } from './forwarding';
import { frame } from './frame';
import { groups } from './groups';
import { keys } from './keys';
import { masking } from './masking';
import { monitors } from './monitors';
import { policies } from './policies';
import { search } from './search';
import { sessions } from './sessions';
import { settings } from './settings';
import { silences } from './silences';
import { signin } from './signin';
import { storage } from './storage';
import { tokens } from './tokens';
import { traces } from './traces';
import { rules } from './rules';
import { roles } from './roles';
import { units } from './units';

/** The texts of the rooms that keep both languages side by side. */
export const rooms = { ...federation, ...frame, ...accounts, ...units, ...roles, ...groups, ...keys, ...audit, ...search, ...flows, ...monitors, ...masking, ...storage, ...sessions, ...settings, ...signin, ...tokens, ...traces, ...connect, ...forwarding, ...silences, ...duty, ...rules, ...policies, ...alertsources, ...casework };
