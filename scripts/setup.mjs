/**
 * Makes a clone ready to run and then runs something in it, with nothing but Node:
 *
 *   node scripts/setup.mjs                              install and compile what is missing
 *   node scripts/setup.mjs dist/cli/slipway.main.js up  … then run a compiled entry with its arguments
 *   node scripts/setup.mjs --mocha [mocha arguments]    … then run the tests
 *
 * A leading `--` before the entry is skipped. The entry is imported into this very process: no process stands between
 * the terminal and it, so signals, standard streams and the exit code need no forwarding.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OLDEST_NODE = [20, 19];
const TICK_MS = 2000;
const INSTALL_MARKER = join(ROOT, 'node_modules', '.slipway-install');
const BUILD_MARKER = join(ROOT, 'dist', '.slipway-build');
/** As tsconfig.json excludes them, and what can hold no source. */
const NO_SOURCES = new Set(['node_modules', 'dist', 'web']);

class SetupError extends Error {}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new SetupError(
    `Slipway needs Node.js ${OLDEST_NODE.join('.')} or newer; this is ${process.versions.node}. ` +
      'Install a newer one (https://nodejs.org or your version manager) and start again.',
  );
}

const digest = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
};

const readOr = (path, otherwise) => (existsSync(path) ? readFileSync(path, 'utf8') : otherwise);

/** Runs a program quietly; what it printed is shown when it fails. A line every two seconds says that it goes on. */
function run(step, command, args) {
  return new Promise((done, failed) => {
    const begin = performance.now();
    const seconds = () => `${((performance.now() - begin) / 1000).toFixed(0)} s`;
    let output = '';
    let last = '';
    const take = (chunk) => {
      output = (output + chunk).slice(-20_000);
      // Warnings about somebody's npm settings say nothing about how far it is.
      const lines = output.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('npm warn'));
      last = lines.at(-1)?.trim().slice(0, 100) ?? '';
    };
    let shown = false;
    const timer = setInterval(() => {
      shown = true;
      console.error(`… ${step} (${seconds()})${last === '' ? '' : `: ${last}`}`);
    }, TICK_MS);
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    });
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => take(`${error.message}\n`));
    child.on('close', (code, signal) => {
      clearInterval(timer);
      if (code === 0) {
        if (shown) console.error(`✓ ${step} (${seconds()})`);
        done();
      } else {
        const how = signal === null ? `exit code ${code}` : signal;
        failed(new SetupError(`${step} failed (${how}):\n${output.trimEnd()}`));
      }
    });
  });
}

/** npm's own record of what it installed says whether that is what the lock file asks for. */
function installedMatchesLock() {
  const hidden = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(hidden)) return false;
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(hidden, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional, devOptional, peer }]) =>
      path === '' ||
      present[path]?.version === version ||
      ((optional || devOptional || peer) && !present[path]),
  );
}

async function installPackages() {
  // Development packages too: the compiler is one of them, and NODE_ENV=production would leave them out.
  const flags = ['--include=dev', '--no-audit', '--no-fund'];
  try {
    await run('installing packages', 'npm', ['ci', ...flags]);
  } catch (error) {
    // A lock file made where a registry lacks the optional binaries of some other system does not list them, and
    // `npm ci` refuses it, everywhere, before it touches anything. `install` keeps to the lock for all that it lists.
    if (!(error instanceof SetupError) || !error.message.includes('code EUSAGE')) throw error;
    await run('installing packages', 'npm', ['install', '--no-save', ...flags]);
  }
}

async function install() {
  const lock = digest(
    readFileSync(join(ROOT, 'package-lock.json')),
    process.platform,
    process.arch,
    process.versions.modules,
  );
  if (readOr(INSTALL_MARKER, '') === lock) return;
  // Somebody who ran npm by hand on this lock file need not wait for it a second time.
  const byHand = !existsSync(INSTALL_MARKER) && installedMatchesLock();
  if (!byHand) {
    await installPackages();
  }
  writeFileSync(INSTALL_MARKER, lock);
}

function* filesBelow(folder, skip = new Set()) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || skip.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path, skip);
    else if (entry.isFile()) yield path;
  }
}

const sources = () =>
  [...filesBelow(ROOT, NO_SOURCES)].filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'));

/** Of names, sizes and times: also notices a file that was removed, or replaced by an older one. */
function fingerprint(files) {
  const inputs = [...files, join(ROOT, 'tsconfig.json'), INSTALL_MARKER].sort((a, b) => (a < b ? -1 : 1));
  return digest(
    ...inputs.map((path) => {
      const { size, mtimeMs } = statSync(path);
      return `${relative(ROOT, path)} ${size} ${mtimeMs}`;
    }),
  );
}

const compiledPath = (source) => join(ROOT, 'dist', relative(ROOT, source).replace(/\.ts$/, '.js'));

/** A test or a main whose source is gone would otherwise go on running. */
function removeStale(files) {
  const dist = join(ROOT, 'dist');
  if (!existsSync(dist)) return;
  const wanted = new Set(files.map(compiledPath));
  for (const path of filesBelow(dist)) {
    // Only the compiler's own: what it writes has a map beside it that names the source.
    if (!path.endsWith('.js') || wanted.has(path) || !existsSync(`${path}.map`)) continue;
    const from = JSON.parse(readFileSync(`${path}.map`, 'utf8')).sources?.[0];
    if (typeof from !== 'string' || !from.endsWith('.ts') || existsSync(resolve(dirname(path), from)))
      continue;
    rmSync(path);
    rmSync(`${path}.map`);
  }
}

async function compile() {
  const files = sources();
  const now = fingerprint(files);
  const complete = files.every((source) => existsSync(compiledPath(source)));
  if (complete && readOr(BUILD_MARKER, '') === now) return;
  removeStale(files);
  // The compiler trusts its notes about what it wrote; without them it writes everything.
  if (!complete) rmSync(join(ROOT, 'dist', '.tsbuildinfo'), { force: true });
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  await run('compiling', process.execPath, [
    compiler,
    '-p',
    join(ROOT, 'tsconfig.json'),
    '--pretty',
    'false',
  ]);
  mkdirSync(dirname(BUILD_MARKER), { recursive: true });
  writeFileSync(BUILD_MARKER, now);
}

/** Installed and compiled; quick when nothing changed. */
export async function setup() {
  checkNode();
  await install();
  await compile();
}

/** Goes on as `node <file> <args>` would. */
async function become(file, args) {
  process.argv = [process.argv[0], file, ...args];
  await import(pathToFileURL(file).href);
}

async function main(args) {
  await setup();
  const [first, ...rest] = args[0] === '--' ? args.slice(1) : args;
  if (first === undefined) return;
  if (first === '--mocha') return become(join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js'), rest);
  const entry = resolve(ROOT, first);
  if (!entry.startsWith(join(ROOT, 'dist') + sep) || !existsSync(entry)) {
    throw new SetupError(`There is no compiled entry ${first}; name one below dist/.`);
  }
  return become(entry, rest);
}

/** A problem of the setup is the user's to mend and needs no stack trace. */
export function reportSetupError(error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch(reportSetupError);
}
