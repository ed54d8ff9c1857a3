// SPDX-License-Identifier: Apache-2.0
// simple-hl7 knows no TLS: it speaks to a stunnel on the loopback. It sends each message and tells what it read in the acknowledgement.
'use strict';
const { job, tell, use, messages } = require('./partner.cjs');
const hl7 = use('simple-hl7');

const parser = new hl7.Parser();
const client = hl7.Server.createTcpClient({ host: job.host, port: job.port, keepalive: true, callback: () => {} });

function send(text) {
	return new Promise((resolve, reject) => {
		client.send(parser.parse(text), (error, answer) => (error ? reject(error) : resolve(answer)));
	});
}

(async () => {
	for (const text of messages()) {
		const answer = await send(text);
		const msa = answer.getSegment('MSA'), err = answer.getSegment('ERR');
		tell({
			code: msa.getField(1),
			control: msa.getField(2),
			type: answer.header.getComponent(7, 1),
			error: err ? err.getComponent(3, 1) : null,
			place: err ? err.getField(2) : null,
			severity: err ? err.getField(4) : null,
		});
	}
	client.close();
	process.exit(0);
})();
