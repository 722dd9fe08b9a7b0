#!/usr/bin/env node
import { reportSetupError, setup } from '../scripts/setup.mjs';

try {
  await setup();
  await import('../dist/cli/slipway.main.js');
} catch (error) {
  reportSetupError(error);
}
