"""A row for every operation that is not public: what it takes to call it. One without a row fails the tests.

Who may is not written here: that stands in the operation's permissions and in the table of roles.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Things = Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """What an operation is called with.

    Attributes:
        body: a valid one, so that an answer tells of rights and not of the body; `{file_id}` stands for a thing.
        headers: what the operation needs beside the credentials.
        foreign: how another organisation's owner is answered who names the first one's things.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    foreign: int = 404

    def names_things(self) -> bool:
        """Whether the body names things."""
        return _names_things(self.body)


def filled(body: Any, things: Things) -> Any:
    """The body with the ids of things."""
    match body:
        case dict():
            return {name: filled(value, things) for name, value in body.items()}
        case list():
            return [filled(value, things) for value in body]
        case str() if body.startswith("{"):
            return things[body[1:-1]]
    return body


def _names_things(body: Any) -> bool:
    match body:
        case dict():
            return any(map(_names_things, body.values()))
        case list():
            return any(map(_names_things, body))
        case str():
            return body.startswith("{")
    return False


NO_BODY = Row()
ADMINISTRATORS = Row(foreign=403)
MERGE_PATCH = "application/merge-patch+json"

ROWS: dict[str, Row] = {
    # auth: oneself
    "get_me": NO_BODY,
    "update_me": NO_BODY,
    "change_password": NO_BODY,
    "change_email": NO_BODY,
    "log_out": NO_BODY,
    # auth: the organisation
    "get_current_organisation": NO_BODY,
    "list_members": NO_BODY,
    "create_member": NO_BODY,
    "update_member": Row({"role": "viewer"}),
    "remove_member": NO_BODY,
    "list_organisations": NO_BODY,
    "create_organisation": NO_BODY,
    "update_current_organisation": NO_BODY,
    "leave_organisation": NO_BODY,
    "transfer_ownership": Row({"user_id": "{user_id}"}),
    "list_invitations": NO_BODY,
    "create_invitation": NO_BODY,
    "resend_invitation": NO_BODY,
    "revoke_invitation": NO_BODY,
    "accept_invitation": NO_BODY,
    "list_security_events": NO_BODY,
    "list_my_security_events": NO_BODY,
    # auth: sessions
    "get_token_info": NO_BODY,
    "list_sessions": NO_BODY,
    "delete_session": NO_BODY,
    "log_out_everywhere": NO_BODY,
    "switch_organisation": Row({"organisation_id": "{organisation_id}"}),
    "reauthenticate": NO_BODY,
    # auth: providers
    "create_provider_link": NO_BODY,
    "create_identity": NO_BODY,
    "list_identities": NO_BODY,
    "delete_identity": NO_BODY,
    # auth: second factor
    "get_second_factor": NO_BODY,
    "create_second_factor": NO_BODY,
    "confirm_second_factor": NO_BODY,
    "renew_recovery_codes": NO_BODY,
    "delete_second_factor": NO_BODY,
    # auth: machines
    "create_api_key": NO_BODY,
    "list_api_keys": NO_BODY,
    "get_api_key": NO_BODY,
    "delete_api_key": NO_BODY,
    # auth: administration
    "list_users": NO_BODY,
    "get_user": ADMINISTRATORS,
    "disable_user": ADMINISTRATORS,
    "enable_user": ADMINISTRATORS,
    "unlock_user": ADMINISTRATORS,
    "reset_second_factor": ADMINISTRATORS,
    "end_sessions_of_user": ADMINISTRATORS,
    "get_db_status": NO_BODY,
    "list_all_security_events": NO_BODY,
    "list_signing_keys": NO_BODY,
    "rotate_signing_key": NO_BODY,
    # auth: bridges
    "create_bridge": NO_BODY,
    "list_bridges": NO_BODY,
    "get_bridge": NO_BODY,
    "delete_bridge": NO_BODY,
    "get_bridge_pairing": NO_BODY,
    "approve_bridge_pairing": Row({"name": "Attic"}),
    "deny_bridge_pairing": NO_BODY,
    # queue: files
    "upload_file": NO_BODY,
    "list_files": NO_BODY,
    "get_file": NO_BODY,
    "delete_file": NO_BODY,
    "download_file": NO_BODY,
    "get_thumbnail": NO_BODY,
    # queue: jobs
    "create_job": Row({"file_id": "{file_id}"}, foreign=422),
    "list_jobs": NO_BODY,
    "get_job": NO_BODY,
    "list_job_attempts": NO_BODY,
    "cancel_job": NO_BODY,
    "pause_job": NO_BODY,
    "resume_job": NO_BODY,
    "get_attempt": NO_BODY,
    "resolve_attempt": Row({"outcome": "printed"}),
    # queue: printers
    "create_printer": Row({"name": "Other", "bridge_id": "{bridge_id}"}, foreign=422),
    "list_printers": NO_BODY,
    "get_printer": NO_BODY,
    "update_printer": Row({"name": "Other"}, headers={"If-Match": '"1"', "Content-Type": MERGE_PATCH}),
    "delete_printer": NO_BODY,
    "confirm_bed_cleared": NO_BODY,
    "get_command": NO_BODY,
    "list_events": NO_BODY,
    "stream_events": NO_BODY,
    # queue: bridges at work
    "list_bridge_printers": NO_BODY,
    "claim_work": Row({"journal_id": "0193a5c8-f2d0-7c4e-8b1f-6a2d3c4b5a69"}),
    "get_next_file": NO_BODY,
    "download_next_file": NO_BODY,
    "list_pending_commands": NO_BODY,
    "report_foreign_print": NO_BODY,
    "download_attempt_file": NO_BODY,
    "renew_lease": NO_BODY,
    "request_permit": NO_BODY,
    "report_attempt": NO_BODY,
    "report_command": NO_BODY,
    # camera
    "list_cameras": NO_BODY,
    "get_camera": NO_BODY,
    "update_camera": Row({"name": "Nozzle"}),
    "delete_camera": NO_BODY,
    "get_snapshot": NO_BODY,
    "stream_camera": NO_BODY,
    "create_view_token": NO_BODY,
    "create_view_token_for_set": Row({"camera_ids": ["{camera_id}"]}),
    "create_share": Row({"label": "Customer", "expires_in_s": 600}),
    "list_shares": NO_BODY,
    "delete_share": NO_BODY,
    # camera: recording
    "list_timelapses": NO_BODY,
    "get_timelapse": NO_BODY,
    "download_timelapse": NO_BODY,
    "render_timelapse": NO_BODY,
    "delete_timelapse": NO_BODY,
    "list_pictures": NO_BODY,
    "get_picture": NO_BODY,
    # camera: watching
    "list_decisions": NO_BODY,
    "get_decision": NO_BODY,
    "get_decision_picture": NO_BODY,
    "judge_decision": Row({"verdict": "right"}),
    "list_watch_policies": NO_BODY,
    "get_watch_policy": NO_BODY,
    "set_watch_policy": Row({}),
    "set_printer_watch_policy": Row({}),
    "delete_printer_watch_policy": NO_BODY,
}
