/** File three claims with a document each, and list the claims page by page; print what was seen as JSON.
 *
 * node file_claims.mjs <url> <member's token>
 */

import { connect, iterate, uploadDocument } from "../../build/clients/typescript/dist/index.js";

const [url, token] = process.argv.slice(2);
const member = connect(url, { token });
const facts = {
  category: "travel",
  title: "Cancelled flight PRN-ZRH",
  company_name: "Example Air",
  description: "Cancelled two hours before departure. Nobody answered at the desk.",
  incident_date: "2026-11-02",
  incident_country: "CH",
  amount: "250.00",
  currency: "EUR",
};

// The store does what it is asked, and every other answer is lost on the way back.
let sent = 0;
const lossyStore = async (...request) => {
  const answer = await fetch(...request);
  if (++sent % 2 === 1) throw new TypeError("fetch failed");
  return answer;
};

const filed = [];
const documents = [];
for (let n = 0; n < 3; n++) {
  const { data, error } = await member.POST("/claims", { body: facts });
  if (data === undefined) throw new Error(JSON.stringify(error));
  filed.push(data.id);
  const file = { name: "pass.txt", type: "text/plain", content: new TextEncoder().encode("Boarding pass") };
  documents.push((await uploadDocument(member, data.id, file, lossyStore)).state);
}
const listed = [];
const readPage = (cursor) => member.GET("/claims", { params: { query: { ...cursor, limit: 1 } } });
for await (const claim of iterate(readPage)) listed.push(claim.id);
console.log(JSON.stringify({ filed, documents, listed, sent }));
