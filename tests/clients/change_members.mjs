/** Make four calls about each of some new members, as a caller writes them; print their ids as JSON.
 *
 * node change_members.mjs <url> <staff's token> <number of members> <how many at once>
 */

import { connect } from "../../build/clients/typescript/dist/index.js";

const [url, token, members, atOnce] = process.argv.slice(2);
const anyone = connect(url);
const staff = connect(url, { token });

async function changeMember() {
  const person = {
    full_name: "Besa Hoxha",
    email: `besa.${crypto.randomUUID().slice(0, 13)}@example.test`,
    phone: "+38344123456",
    country: "XK",
    language: "sq",
    plan: "family",
    terms_version: "2026-01",
  };
  const member = await read(anyone.POST("/members", { body: person }));
  const one = { params: { path: { member_id: member.id } } };
  await read(staff.GET("/members/{member_id}", one));
  const changed = await read(staff.PATCH("/members/{member_id}", { ...one, body: { phone: "+38344555222" } }));
  const paused = await read(staff.POST("/members/{member_id}/pause", one));
  const resumed = await read(staff.POST("/members/{member_id}/resume", one));
  const seen = [changed.phone, paused.membership.state, resumed.membership.state].join();
  if (seen !== "+38344555222,paused,active") throw new Error(`not as asked for: ${seen}`);
  return member.id;
}

async function read(call) {
  const { data, error } = await call;
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const ids = [];
let begun = 0;
async function work() {
  while (begun++ < Number(members)) ids.push(await changeMember());
}
await Promise.all(Array.from({ length: Number(atOnce) }, work));
console.log(JSON.stringify(ids));
