"""What each incident type is, in the field's terms, and the first steps to take.

ATT&CK technique ids (attack.mitre.org) and VERIS 1.4.1 actions (verisframework.org); the steps
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Playbook:
    """One incident type: its name for people, techniques, VERIS action, and first steps."""

    name: str
    techniques: tuple[str, ...]
    veris: str
    steps: tuple[str, ...]


PLAYBOOKS: dict[str, Playbook] = {
    "bec": Playbook(
        "business email compromise",
        ("T1566", "T1078.004", "T1114.003", "T1564.008", "T1534", "T1657"),
        "social and hacking: use of stolen credentials",
        (
            "Revoke the mailbox's sessions and refresh tokens, then reset its password.",
            "List inbox and forwarding rules, delegates and hidden folders; remove what is not the user's.",
            "List OAuth grants and app passwords; withdraw the unknown ones.",
            "Ask the bank to recall payments that were changed, and warn whoever got mail from the account.",
        ),
    ),
    "backdoor": Playbook(
        "backdoor",
        ("T1505.003", "T1547", "T1136", "T1098"),
        "malware: backdoor",
        (
            "Take the host off the network, without switching it off.",
            "Image memory and disk before anything is cleaned.",
            "Look for persistence: web shells, services, scheduled tasks, start-up entries, new accounts and keys.",
            "Search the other hosts for the same files, accounts and connections.",
        ),
    ),
    "malware": Playbook(
        "malware",
        ("T1204", "T1059"),
        "malware",
        (
            "Take the host off the network.",
            "Hash the sample and keep it sealed; note where it came from and who started it.",
            "Scope it: search for the hash, its names and its connections everywhere else.",
        ),
    ),
    "unauthorized_access": Playbook(
        "unauthorized access",
        ("T1078", "T1550.001"),
        "hacking: use of stolen credentials, or misuse: privilege abuse",
        (
            "Disable the account and end its sessions and tokens.",
            "List its sessions and sign-ins: when, from where, with which device.",
            "Work out the blast radius: what the account could reach, and what it did reach.",
        ),
    ),
    "data_breach": Playbook(
        "data breach",
        ("T1041", "T1567", "T1530"),
        "attribute: confidentiality",
        (
            "Stop the way out: close the share, bucket, account or connection.",
            "Scope the records: whose, which kinds of data, how many, since when.",
            "Start the legal clock: write down when it became known, and tell whoever answers for data protection.",
        ),
    ),
    "phishing": Playbook(
        "phishing",
        ("T1566.001", "T1566.002", "T1598"),
        "social: phishing",
        (
            "Remove the mail from every mailbox that got it.",
            "Block the sender, the URL and the attachment's hash.",
            "Find out who clicked or answered; reset their passwords and end their sessions.",
        ),
    ),
    "ransomware": Playbook(
        "ransomware",
        ("T1486", "T1490", "T1489"),
        "malware: ransomware",
        (
            "Take the hosts and shares that are touched off the network.",
            "Protect the backups: disconnect them and change the accounts that can delete them.",
            "Snapshot what is still running before it is cleaned or restored.",
        ),
    ),
    "brute_force": Playbook(
        "brute force",
        ("T1110.001", "T1110.003", "T1110.004"),
        "hacking: brute force",
        (
            "Block the sources.",
            "Lock the accounts that were hit; reset those where a guess succeeded.",
            "Require a second factor where it was missing.",
            "Check for spraying: few guesses each over many accounts.",
        ),
    ),
}
"""The reviewed table: one playbook for each incident type."""
