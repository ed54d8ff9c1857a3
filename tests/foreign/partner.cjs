// SPDX-License-Identifier: Apache-2.0
// What the partners written for Node.js share: the job they are given (a JSON file), where their package lies, how they tell what they saw.
'use strict';
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');
const { pathToFileURL } = require('url');

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const installed = createRequire(path.join(job.packages, 'package.json'));

// One line of JSON each: the test reads them as they come.
function tell(what) {
	fs.writeSync(1, JSON.stringify(what) + '\n');
}

process.on('unhandledRejection', (error) => {
	tell({ failed: String(error && error.stack || error) });
	process.exit(1);
});

module.exports = {
	job,
	tell,
	use: installed,
	useModule: (name) => import(pathToFileURL(installed.resolve(name)).href),
	tls: () => ({
		ca: fs.readFileSync(job.authorities),
		cert: fs.readFileSync(job.certificate),
		key: fs.readFileSync(job.key),
		minVersion: 'TLSv1.2',
	}),
	messages: () => job.messages.map((file) => fs.readFileSync(file, 'utf8')),
};
