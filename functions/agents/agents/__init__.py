"""Agents: applications, the decisions of staff about them, clients, commissions and payouts."""
