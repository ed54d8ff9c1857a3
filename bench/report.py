# SPDX-License-Identifier: Apache-2.0
"""An ORU^R01 of about 137 KB whose OBX-5 holds 100 KB of a CDA document in base64. The document is made up, and as dense in markup as those of
laboratories are: a tag every 30 bytes, one to four attributes, some forty distinct names, indented by tabs, text in between."""
import base64

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet type="text/xsl" href="../sheet.xsl"?>
<!-- Everything in here is invented. -->
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:lab="urn:oid:1.3.6.1.4.1.19376.1.3.2">
	<realmCode code="FR"/>
	<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
	<templateId root="1.2.250.1.999.1.1"/>
	<id root="1.2.250.1.999.2" extension="4711"/>
	<code code="11502-2" codeSystem="2.16.840.1.113883.6.1" displayName="CR d'examens biologiques"/>
	<title>Compte rendu d'examens de biologie médicale</title>
	<effectiveTime value="20261121120000+0100"/>
	<recordTarget>
		<patientRole>
			<id root="1.2.250.1.999.3" extension="100000001"/>
			<patient><name><family qualifier="BR">LILAS</family><given>ROSE</given></name><birthTime value="19410703"/></patient>
		</patientRole>
	</recordTarget>
	<component>
		<structuredBody>
"""
RESULT = """			<component>
				<observation classCode="OBS" moodCode="EVN">
					<templateId root="1.3.6.1.4.1.19376.1.3.1.6"/>
					<id root="1.2.250.1.999.4" extension="R{n:05}"/>
					<code code="{code}-{check}" displayName="Analyse n° {n}" codeSystem="2.16.840.1.113883.6.1">
						<originalText><reference value="#t{n}"/></originalText>
					</code>
					<statusCode code="completed"/>
					<effectiveTime value="20261121{hour:02}0000+0100"/>
					<value xsi:type="PQ" value="{value}" unit="mmol/L"/>
					<interpretationCode code="N" codeSystem="2.16.840.1.113883.5.83"/>
					<text>Valeur &lt; seuil, sérum prélevé à jeun</text>
					<referenceRange typeCode="REFV">
						<observationRange classCode="OBS" moodCode="EVN.CRT">
							<value xsi:type="IVL_PQ"><low value="{low}" unit="mmol/L"/><high value="{high}" unit="mmol/L"/></value>
						</observationRange>
					</referenceRange>
				</observation>
			</component>
"""
TAIL = """		</structuredBody>
	</component>
</ClinicalDocument>
"""


def document(size=100 << 10):
    parts, length, n = [HEAD], len((HEAD + TAIL).encode()), 0
    while length < size:
        n += 1
        parts.append(RESULT.format(n=n, code=1000 + n * 37 % 9000, check=n % 10, hour=n % 24, value=n * 7 % 100 / 10, low=n % 5, high=n % 5 + 9))
        length += len(parts[-1].encode())
    return "".join(parts + [TAIL]).encode()


def message():
    rows = ["MSH|^~\\&|LIS|CHU-DEMO|LIAISON|PFI|20261121120000+0100||ORU^R01^ORU_R01|0|T|2.5|||||FRA|UNICODE UTF-8|||2.1^CISIS_CDA_HL7_V2",
            "PID|1||100000001^^^CHU-DEMO^PI||LILAS^ROSE^^^^^L||19410703|F",
            "PV1|1|I|MED^1^2^CHU-DEMO",
            "ORC|NW|1|2",
            "OBR|1|1|2|11502-2^CR d'examens biologiques^LN|||20261121",
            "OBX|1|ED|11502-2^CR d'examens biologiques^LN||^TEXT^XML^Base64^" + base64.b64encode(document()).decode() + "||||||F",
            "OBX|2|CE|MASQUE_PS^^MetaDMPMSS||N^^expandedYes-NoIndicator||||||F"]
    return "".join(row + "\r" for row in rows).encode()
