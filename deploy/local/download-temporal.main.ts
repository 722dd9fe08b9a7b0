import { TestWorkflowEnvironment } from '@temporalio/testing';

/**
 * Lets the SDK download its Temporal development server into the folder named by the only argument. The SDK downloads
 * only as a part of starting one, and its download knows no timeout: hence a process that can be ended.
 */
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: download-temporal.main.js <folder>');
const environment = await TestWorkflowEnvironment.createLocal({
  server: { executable: { type: 'cached-download', downloadDir: folder } },
});
await environment.teardown();
process.exit(0);
