// SPDX-License-Identifier: Apache-2.0
// node-hl7-client sends its messages, one behind the acknowledgement of the other or all together, and tells what it read in each.
'use strict';
const { job, tell, use, tls, messages } = require('./partner.cjs');
const { Client, Message } = use('node-hl7-client');

let acknowledged, seen = 0;
const client = new Client({ host: job.host, tls: tls() });
const connection = client.createConnection({ port: job.port, waitAck: !job.together }, async (answer) => {
	const message = answer.getMessage();
	const has = (name) => message.toString().includes('\r' + name + '|');
	tell({
		code: message.get('MSA.1').toString(),
		control: message.get('MSA.2').toString(),
		type: message.get('MSH.9.1').toString(),
		error: has('ERR') ? message.get('ERR.3.1').toString() : null,
		place: has('ERR') ? [1, 2, 3].map((n) => message.get(`ERR.2.${n}`).toString()).join('^') : null,
		severity: has('ERR') ? message.get('ERR.4').toString() : null,
	});
	seen++;
	acknowledged();
});
connection.on('data.error', (error) => tell({ failed: String(error.stack) }));
connection.on('client.error', (error) => tell({ failed: String(error.stack) }));

(async () => {
	await new Promise((resolve) => connection.once('connect', resolve));
	for (const text of messages()) {
		const answered = new Promise((resolve) => { acknowledged = resolve; });
		await connection.sendMessage(new Message({ text }));
		if (!job.together) await answered;
	}
	while (job.together && seen < job.messages.length) await new Promise((resolve) => { acknowledged = resolve; });
	await connection.close();
	process.exit(0);
})();
