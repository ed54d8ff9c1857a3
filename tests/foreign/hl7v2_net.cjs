// SPDX-License-Identifier: Apache-2.0
// hl7v2-net sends all messages without waiting, and tells what it read in each acknowledgement. It acknowledges the acknowledgements.
'use strict';
const { createHash } = require('crypto');
const { job, tell, useModule, tls, messages } = require('./partner.cjs');

(async () => {
	const { Hl7Client } = await useModule('hl7v2-net');
	const { HL7Message } = await useModule('hl7v2');
	const client = Hl7Client.createTlsClient({ host: job.host, port: job.port, ...tls() });
	let sent = 0;
	client.on('error', (error) => tell({ failed: String(error && error.stack || error) }));
	client.on('send', () => { sent++; });
	await client.connect();
	const parsed = messages().map((text) => HL7Message.parse(text));
	const digests = parsed.map((message) => createHash('sha256').update(message.toHL7String()).digest('hex'));
	const answers = parsed.map((message) => client.sendMessageWaitAck(message));
	for (const answer of await Promise.all(answers)) {
		const msa = answer.getSegment('MSA'), err = answer.getSegment('ERR');
		tell({
			code: msa.field(1).getValue(),
			control: msa.field(2).getValue(),
			type: answer.header.field(9).getValue(),
			error: err ? String(err.field(3).getValue()) : null,
			place: err ? err.field(2).toHL7String() : null,
			severity: err ? err.field(4).getValue() : null,
		});
	}
	await new Promise((resolve) => setTimeout(resolve, 200)); // its own acknowledgements leave
	tell({ sent, digests });
	await client.close();
	process.exit(0);
})();
