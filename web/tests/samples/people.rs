//! Pages about people: accounts, members, invitations.

use syncline_web::{
    forms::{Csrf, Typed},
    pages::{account::*, accounts::*, invitations::*, members::*},
    qr::Qr,
    shell::Notice,
};
use time::Duration;

use super::*;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

pub fn samples() -> Vec<Sample> {
    [signing(), account(), members(), invitations()].concat()
}

fn csrf() -> Csrf {
    Csrf::new("csrf-token")
}

fn signing() -> Vec<Sample> {
    let typed = SignUpInput {
        email: "maya@fieldnotes".into(),
        password: Typed::new("tiny"),
        tenant_name: HOSTILE.into(),
        tenant_slug: "Api!".into(),
    };
    let mut refused = SignUpForm::from(&typed);
    refused.email.reject("An email address looks like name@example.org.");
    refused.password.reject("Use at least 8 characters.");
    refused.tenant_slug.reject("Use only lowercase letters a–z, digits and dashes.");
    let mut denied = SignInForm::from(&SignInInput {
        email: "maya@fieldnotes.example".into(),
        password: Typed::new("secret"),
        next: "/d/field-notes".into(),
    });
    denied.error =
        Some("Email and password do not match. Check both, or wait a minute after several attempts.".into());
    let notice = Some(Notice::Done("You are signed out.".into()));
    let mut code = SignInCodeForm { next: "/d/field-notes".into(), ..SignInCodeForm::default() };
    code.code.reject("This code is not right, or it was used already.");
    vec![
        sample("sign-up", &SignUpPage { csrf: csrf(), form: SignUpForm::default() }),
        sample("sign-up-refused", &SignUpPage { csrf: csrf(), form: refused }),
        sample("sign-in", &SignInPage { csrf: csrf(), form: SignInForm::default(), notice: None }),
        sample("sign-in-refused", &SignInPage { csrf: csrf(), form: denied, notice }),
        sample("sign-in-code", &SignInCodePage { csrf: csrf(), form: code }),
    ]
}

pub fn memberships() -> Vec<Membership> {
    [("Field Notes Ltd", "field-notes", "owner"), (LONG, "long", "viewer"), (RIGHT_TO_LEFT, "rtl", "admin")]
        .map(|(name, slug, role)| Membership {
            tenant_name: name.into(),
            tenant_slug: slug.into(),
            role: role.into(),
        })
        .into()
}

fn session(browser: &str, is_this: bool, address: Option<&str>) -> SessionRow {
    SessionRow {
        handle: "ab".repeat(32),
        is_this,
        browser: browser.into(),
        user_agent: format!("{FIREFOX} {HOSTILE}"),
        address: address.map(Into::into),
        since: ago(Duration::days(2)),
        last_seen_at: address.map(|_| ago(Duration::minutes(3))),
    }
}

fn event(kind: &str, address: Option<&str>) -> SecurityEventRow {
    SecurityEventRow {
        at: ago(Duration::hours(7)),
        kind: kind.into(),
        address: address.map(Into::into),
        browser: browser_name(FIREFOX),
    }
}

fn account() -> Vec<Sample> {
    let page = |shell: Shell, memberships, factor| AccountPage {
        shell: Shell { tenant: None, app: None, ..shell }.at(Area::Account),
        signed_up_at: ago(Duration::days(90)),
        memberships,
        password: PasswordForm::default(),
        factor,
        factor_form: FactorForm::default(),
        sessions: vec![session("Firefox on Linux", true, Some("203.0.113.9"))],
        events: vec![],
        delete: DeleteAccountForm::default(),
    };
    let on = FactorState::On { since: ago(Duration::days(20)), recovery_codes_left: 1 };
    let mut full = page(shell(), memberships(), on);
    full.sessions.push(session("Safari on iPhone", false, Some("2001:db8:85a3:8d3:1319:8a2e:370:7348")));
    full.sessions.push(session("Unknown browser", false, None));
    full.events = ["signed_in", "code_refused", "recovery_code_used", "totp_enabled", "signed_up"]
        .map(|kind| event(kind, Some("203.0.113.9")))
        .into();
    full.events.push(event(HOSTILE, None));
    full.factor_form.factor_code.reject("This code is not right, or it was used already.");
    full.password.current.reject("This is not your present password.");
    full.delete.error = Some(format!("You are the only owner of {LONG}."));
    let url = "otpauth://totp/Syncline:maya%40fieldnotes.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Syncline";
    let mut wrong = CodeForm::default();
    wrong.code.reject("This code is not right. Wait for the next one, and check the clock of your device.");
    let outside = || Shell { tenant: None, app: None, ..shell() }.at(Area::Account);
    let totp = TotpPage {
        shell: outside(),
        qr: Qr::new(url).expect("it fits"),
        secret: "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ".into(),
        form: wrong,
    };
    let codes = RecoveryCodesPage {
        shell: outside(),
        codes: vec!["ABCD-EFGH-JKLM-NPQR".into(); 10],
        just_enabled: true,
    };
    vec![
        sample("account", &full),
        sample("account-empty", &page(extreme_shell(), vec![], FactorState::Off)),
        sample("account-totp", &totp),
        sample("account-recovery-codes", &codes),
    ]
}

fn member(email: &str, role: &str, is_you: bool, may_change: bool) -> MemberRow {
    MemberRow {
        account_id: format!("acc_{}", email.len()),
        email: email.into(),
        role: role.into(),
        joined_at: ago(Duration::days(3)),
        is_you,
        may_change,
        may_inherit: may_change && !is_you,
    }
}

fn invitation(id: &str, note: Option<&str>, role: &str) -> InvitationRow {
    InvitationRow {
        id: id.into(),
        note: note.map(Into::into),
        role: role.into(),
        invited_by: "maya@fieldnotes.example".into(),
        created_at: ago(Duration::hours(5)),
        expires_at: NOW + Duration::days(6),
    }
}

fn members() -> Vec<Sample> {
    let ability =
        |does, least: usize| AbilityRow { does, allowed: (0..4).map(|role| role <= least).collect() };
    let page = |shell: Shell, members, next: Option<&str>| MembersPage {
        shell: shell.clone().at(Area::Members),
        rows: MemberRows {
            shell: shell.at(Area::Members),
            members,
            roles: vec!["owner", "admin", "developer", "viewer"],
            roles_to_give: vec!["owner", "admin", "developer", "viewer"],
            next: next.map(Into::into),
        },
        is_continued: next.is_some(),
        invitations: vec![],
        made: None,
        abilities: vec![
            ability("See apps, members and the audit log", 3),
            ability("Create apps", 2),
            ability("Invite people, up to one’s own role", 1),
            ability("Delete the organisation", 0),
        ],
        is_last_owner: true,
        form: InviteForm::default(),
    };
    let mut full = page(
        shell(),
        vec![
            member("maya@fieldnotes.example", "owner", true, true),
            member("jon@fieldnotes.example", "developer", false, true),
            member(&format!("{LONG}@example.org"), "viewer", false, false),
        ],
        Some("/d/field-notes/members?after=x"),
    );
    full.invitations = vec![
        invitation("inv_1", Some("ada@fieldnotes.example"), "admin"),
        invitation("inv_2", None, "viewer"),
        invitation("inv_3", Some(&format!("{RIGHT_TO_LEFT} {HOSTILE} {LONG}")), "developer"),
    ];
    full.made = Some(MadeInvitation {
        link: "https://sync.example.org/invite/Ab3dK1xkq0aVt7T2f9uYw8GmQz4LrHcEoSbNjXpDi5U".into(),
        role: "developer".into(),
        note: Some(RIGHT_TO_LEFT.into()),
        expires_at: NOW + Duration::days(7),
    });
    full.form =
        InviteForm::from(&InviteInput { note: HOSTILE.into(), role: "king".into(), days: "99".into() });
    full.form.role.reject("Choose a role.");
    full.form.days.reject("Type a number of days from 1 to 30.");
    let mut viewer = page(extreme_shell(), vec![member("eve@example.org", "viewer", true, false)], None);
    viewer.shell.app = None;
    viewer.is_last_owner = false;
    vec![sample("members", &full), sample("members-viewer", &viewer)]
}

fn invitations() -> Vec<Sample> {
    let page = |signed_in_as: Option<&str>, already: Option<&str>, note: Option<&str>| InvitationPage {
        token: "Ab3dK1xkq0aVt7T2f9uYw8GmQz4LrHcEoSbNjXpDi5U".into(),
        csrf: csrf(),
        signed_in_as: signed_in_as.map(Into::into),
        already: already.map(Into::into),
        home: "/d/field-notes".into(),
        tenant_name: "Field Notes Ltd".into(),
        role: "developer".into(),
        invited_by: "maya@fieldnotes.example".into(),
        note: note.map(Into::into),
        expires_at: NOW + Duration::days(6),
        now: NOW,
    };
    let extreme = InvitationPage {
        tenant_name: format!("{RIGHT_TO_LEFT} {HOSTILE} {LONG}"),
        invited_by: format!("{}@example.org", "very.long.address".repeat(6)),
        ..page(Some("eve@example.org"), None, Some("ada@fieldnotes.example"))
    };
    let invited = InvitedSignUpPage {
        csrf: csrf(),
        token: "Ab3dK1xkq0aVt7T2f9uYw8GmQz4LrHcEoSbNjXpDi5U".into(),
        tenant_name: "Field Notes Ltd".into(),
        role: "developer".into(),
        form: SignUpForm::default(),
    };
    vec![
        sample("invitation", &page(None, None, None)),
        sample("invitation-signed-in", &extreme),
        sample("invitation-member", &page(Some("ada@fieldnotes.example"), Some("admin"), None)),
        sample("invitation-sign-up", &invited),
    ]
}
