"""The ids of the story that the description's examples tell: whoever is in it, and what happens to them."""

ARTA = "01a12f3b-a340-752e-bca9-6513269e0d37"  # the agent
BESA = "01a15a6a-a160-70ed-ba38-36f681e74ef5"  # the member whose flight was cancelled
DRITA = "01a05bc4-8180-7a6a-8317-d23f128b2f33"  # of the staff
ADMIN = "01a05bc9-1560-7892-8606-95315d9dc9f8"
COMMISSION = "01a15a6a-a160-7099-8580-6b0d6f03675a"
PAYOUT = "01a1b016-1680-71fb-bca3-a17039263059"
CLAIM = "01a1a040-2200-711e-8f67-8d111738f7d9"
DOCUMENT = "01a1a042-e120-76ca-83c8-90c1d3ac94af"  # her boarding pass
JOB = "01a1a040-25e8-7a09-a54f-0fd6f29d0da9"  # of the mail that confirms the claim
REQUEST = "01a1a040-23f4-793b-a579-0cb1658cda14"
