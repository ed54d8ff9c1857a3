// SPDX-License-Identifier: Apache-2.0
// node-hl7-server accepts every message but one, and leaves one unanswered when it comes for the first time. It never forgets what came on a
// connection: message n is answered by acknowledgements of 1 to n.
'use strict';
const { createHash } = require('crypto');
const { job, tell, use, tls } = require('./partner.cjs');
const { Server } = use('node-hl7-server');

const server = new Server({ bindAddress: job.host, tls: { ...tls(), requestCert: true } });
const inbound = server.createInbound({ port: job.port }, async (request, response) => {
	const control = request.getMessage().get('MSH.10').toString();
	if (control === job.forget) {
		job.forget = null;
		return;
	}
	await response.sendResponse(control === job.refuse ? 'AE' : 'AA');
	tell({ acknowledged: control });
});

// What is new behind what came before on the same connection.
let before = '';
inbound.on('client.connect', () => { before = ''; tell({ connected: true }); });
inbound.on('data.raw', (all) => {
	const message = all.startsWith(before) ? all.slice(before.length) : all;
	before = all;
	tell({ control: message.split('|')[9], sha256: createHash('sha256').update(message).digest('hex') });
});
inbound.on('data.error', (error) => tell({ failed: String(error.stack) }));
inbound.on('error', (error) => tell({ failed: String(error.stack) }));
inbound.on('listen', () => tell({ listening: job.port }));
