//! Pages about people: accounts, members, invitations.

use syncline_web::{
    forms::{Csrf, Field, SecretField, Typed},
    pages::{account::*, accounts::*, invitations::*, members::*},
    qr::Qr,
    shell::Notice,
};
use time::Duration;

use super::*;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const TOKEN: &str = "Ab3dK1xkq0aVt7T2f9uYw8GmQz4LrHcEoSbNjXpDi5U";
const WRONG_PASSWORD: &str =
    "Email and password do not match. Check both, or wait a minute after several attempts.";
const WRONG_CODE: &str = "This code is not right, or it was used already.";

pub fn samples() -> Vec<Sample> {
    [sign_in(), sign_up(), account(), second_factor(), members(), invitations()].concat()
}

fn csrf() -> Csrf {
    Csrf::new("csrf-token")
}

fn refused(value: String, sentence: &str) -> Field {
    let mut field = Field::new(value);
    field.reject(sentence);
    field
}

fn sign_in() -> Vec<Sample> {
    let typed = |email: &str, next: &str| {
        SignInForm::from(&SignInInput {
            email: email.into(),
            password: Typed::new("secret"),
            next: next.into(),
        })
    };
    let page = |form, notice| SignInPage { csrf: csrf(), form, notice };
    let mut denied = typed("maya@fieldnotes.example", "/d/field-notes");
    denied.error = Some(WRONG_PASSWORD.into());
    let mut extreme = typed(&worst(), &worst());
    extreme.email.reject("An email address looks like name@example.org.");
    extreme.password.reject("Type your password.");
    extreme.error = Some(worst());
    let code = |next: &str, refused: Option<&str>| {
        let mut form = SignInCodeForm { next: next.into(), ..SignInCodeForm::default() };
        form.code.error = refused.map(Into::into);
        SignInCodePage { csrf: csrf(), form }
    };
    let signed_out = Some(Notice::Done("You are signed out.".into()));
    vec![
        sample("sign-in-empty", &page(SignInForm::default(), None)),
        sample("sign-in-typical", &page(denied, signed_out)),
        sample("sign-in-extreme", &page(extreme, Some(Notice::Failed(worst())))),
        sample("sign-in-code-empty", &code("", None)),
        sample("sign-in-code-typical", &code("/d/field-notes", Some(WRONG_CODE))),
        sample("sign-in-code-extreme", &code(&worst(), Some(&worst()))),
    ]
}

fn sign_up() -> Vec<Sample> {
    let page = |form| SignUpPage { csrf: csrf(), form };
    let mut typed = SignUpForm::from(&SignUpInput {
        email: "maya@fieldnotes".into(),
        password: Typed::new("tiny"),
        tenant_name: "Field Notes Ltd".into(),
        tenant_slug: "Api!".into(),
    });
    typed.email.reject("An email address looks like name@example.org.");
    typed.password.reject("Use at least 8 characters.");
    typed.tenant_slug.reject("Use only lowercase letters a–z, digits and dashes.");
    let extreme = || SignUpForm {
        email: refused(worst(), "An email address looks like name@example.org."),
        tenant_name: refused(worst(), "The name is too long."),
        tenant_slug: refused(worst(), "Use only lowercase letters a–z, digits and dashes."),
        error: Some(worst()),
        ..typed.clone()
    };
    let invited = |tenant_name: String, form| InvitedSignUpPage {
        csrf: csrf(),
        token: TOKEN.into(),
        tenant_name,
        role: "developer".into(),
        form,
    };
    vec![
        sample("sign-up-empty", &page(SignUpForm::default())),
        sample("sign-up-extreme", &page(extreme())),
        sample("sign-up-invited-empty", &invited("Field Notes Ltd".into(), SignUpForm::default())),
        sample("sign-up-invited-typical", &invited("Field Notes Ltd".into(), typed.clone())),
        sample("sign-up-invited-extreme", &invited(worst(), extreme())),
        sample("sign-up-typical", &page(typed)),
    ]
}

pub fn membership(name: &str, slug: &str, role: &str) -> Membership {
    Membership { tenant_name: name.into(), tenant_slug: slug.into(), role: role.into() }
}

pub fn memberships() -> Vec<Membership> {
    vec![
        membership("Field Notes Ltd", "field-notes", "owner"),
        membership("Alpine Trails", "alpine", "viewer"),
        membership("مسارات", "rtl", "admin"),
    ]
}

pub fn extreme_memberships() -> Vec<Membership> {
    full_page(&[
        membership(LONG, &"z".repeat(40), "viewer"),
        membership(RIGHT_TO_LEFT, "rtl", "developer"),
        membership(HOSTILE, "h", "owner"),
        membership(&worst(), "worst", "admin"),
    ])
}

fn session(browser: &str, is_this: bool, address: Option<&str>) -> SessionRow {
    SessionRow {
        handle: "ab".repeat(32),
        is_this,
        browser: browser.into(),
        user_agent: FIREFOX.into(),
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
        shell: outside_tenants(shell).at(Area::Account),
        signed_up_at: ago(Duration::days(90)),
        memberships,
        password: PasswordForm::default(),
        factor,
        factor_form: FactorForm::default(),
        sessions: vec![session("Firefox on Linux", true, Some("203.0.113.9"))],
        events: vec![],
        delete: DeleteAccountForm::default(),
    };
    let on = |left| FactorState::On { since: ago(Duration::days(20)), recovery_codes_left: left };
    let address = Some("203.0.113.9");
    let kinds = ["signed_in", "code_refused", "recovery_code_used", "totp_enabled", "signed_up"];
    let mut typical = page(shell(), memberships(), on(8));
    typical.sessions.push(session("Safari on iPhone", false, Some("2001:db8:85a3:8d3:1319:8a2e:370:7348")));
    typical.sessions.push(session("Unknown browser", false, None));
    typical.events = kinds.map(|kind| event(kind, address)).into();
    let mut extreme = page(extreme_owner(), extreme_memberships(), on(1));
    let hostile = SessionRow { user_agent: worst(), ..session("Unknown browser", false, Some(LONG)) };
    extreme.sessions.extend(vec![hostile; PAGE]);
    extreme.events = full_page(&[event(HOSTILE, None), event(RIGHT_TO_LEFT, Some(HOSTILE))]);
    extreme.factor_form.factor_password.reject("This is not your password.");
    extreme.factor_form.factor_code.reject(WRONG_CODE);
    extreme.password.current.reject("This is not your present password.");
    extreme.password.new.reject("Use at least 8 characters.");
    extreme.delete.password.reject("This is not your password.");
    extreme.delete.confirmation = refused(worst(), "This is not your address.");
    extreme.delete.error = Some(worst());
    vec![
        sample("account-empty", &page(shell(), vec![], FactorState::Off)),
        sample("account-typical", &typical),
        sample("account-extreme", &extreme),
    ]
}

fn second_factor() -> Vec<Sample> {
    let totp = |shell: Shell, refused: Option<String>| TotpPage {
        qr: Qr::new(&format!(
            "otpauth://totp/Syncline:{}?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Syncline",
            shell.email
        ))
        .expect("it fits"),
        shell: outside_tenants(shell).at(Area::Account),
        secret: "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ".into(),
        form: CodeForm { code: SecretField { error: refused } },
    };
    let codes = |shell: Shell, just_enabled| RecoveryCodesPage {
        shell: outside_tenants(shell).at(Area::Account),
        codes: vec!["ABCD-EFGH-JKLM-NPQR".into(); 10],
        just_enabled,
    };
    let wrong = "This code is not right. Wait for the next one, and check the clock of your device.";
    vec![
        sample("account-totp-empty", &totp(shell(), None)),
        sample("account-totp-typical", &totp(shell(), Some(wrong.into()))),
        sample("account-totp-extreme", &totp(extreme_owner(), Some(worst()))),
        // There are always ten of them: no text of anybody's is on this page, nor can it be without any.
        sample("account-recovery-codes-empty", &codes(shell(), true)),
        sample("account-recovery-codes-typical", &codes(shell(), false)),
        sample(
            "account-recovery-codes-extreme",
            &codes(extreme_owner().saying(Some(Notice::Done(worst()))), false),
        ),
    ]
}

fn member(id: &str, email: &str, role: &str, is_you: bool, may_change: bool) -> MemberRow {
    MemberRow {
        account_id: format!("acc_{id}"),
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

fn made(note: Option<&str>) -> MadeInvitation {
    MadeInvitation {
        link: format!("https://sync.example.org/invite/{TOKEN}"),
        role: "developer".into(),
        note: note.map(Into::into),
        expires_at: NOW + Duration::days(7),
    }
}

fn members_page(shell: Shell, members: Vec<MemberRow>) -> MembersPage {
    let ability =
        |does, least: usize| AbilityRow { does, allowed: (0..4).map(|role| role <= least).collect() };
    let roles = vec!["owner", "admin", "developer", "viewer"];
    let shell = outside_apps(shell).at(Area::Members);
    MembersPage {
        rows: MemberRows {
            shell: shell.clone(),
            members,
            roles_to_give: if shell.may().administer { roles.clone() } else { vec![] },
            roles,
            next: None,
        },
        shell,
        is_continued: false,
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
    }
}

fn members() -> Vec<Sample> {
    let you = |email: &str, role| member("you", email, role, true, true);
    let mut typical = members_page(
        shell(),
        vec![
            you("maya@fieldnotes.example", "owner"),
            member("jon", "jon@fieldnotes.example", "developer", false, true),
            member("eve", "eve@fieldnotes.example", "viewer", false, true),
        ],
    );
    typical.invitations = vec![
        invitation("inv_1", Some("ada@fieldnotes.example"), "admin"),
        invitation("inv_2", None, "viewer"),
    ];
    typical.made = Some(made(Some("ada@fieldnotes.example")));
    let mut viewer =
        members_page(shell(), vec![member("eve", "eve@fieldnotes.example", "viewer", true, false)]);
    let nothing = May::default();
    viewer.shell.tenant = viewer.shell.tenant.map(|tenant| TenantPlace { may: nothing, ..tenant });
    (viewer.rows.shell, viewer.is_last_owner) = (viewer.shell.clone(), false);
    viewer.rows.roles_to_give.clear();
    vec![
        sample("members-empty", &members_page(shell(), vec![you("maya@fieldnotes.example", "owner")])),
        sample("members-typical", &typical),
        sample("members-extreme", &extreme_members()),
        sample("members-viewer", &viewer),
    ]
}

fn extreme_members() -> MembersPage {
    let mut members = vec![member("you", &worst_email(), "owner", true, true)];
    members.extend([
        member("a", &worst_email(), "owner", false, true),
        member("b", &worst(), "admin", false, true),
    ]);
    members.extend(vec![member("c", &worst_email(), "viewer", false, false); PAGE - members.len()]);
    let mut page = members_page(extreme_owner(), members);
    page.rows.next = Some("/d/x/members?after=x".into());
    (page.is_continued, page.is_last_owner) = (true, false);
    let invitation = |id: &str, note: &str| InvitationRow {
        invited_by: worst_email(),
        ..invitation(id, Some(note), "developer")
    };
    page.invitations = full_page(&[invitation("inv_1", &worst()), invitation("inv_2", RIGHT_TO_LEFT)]);
    page.made = Some(made(Some(&worst())));
    let typed = InviteInput { note: worst(), role: worst(), days: worst() };
    page.form = InviteForm::from(&typed);
    page.form.note.reject("The note is too long.");
    page.form.role.reject("Choose a role.");
    page.form.days.reject("Type a number of days from 1 to 30.");
    page.form.error = Some(worst());
    page
}

fn invitations() -> Vec<Sample> {
    let page = |signed_in_as: Option<String>, already: Option<&str>, note: Option<String>| InvitationPage {
        token: TOKEN.into(),
        csrf: csrf(),
        signed_in_as,
        already: already.map(Into::into),
        home: "/d/field-notes".into(),
        tenant_name: "Field Notes Ltd".into(),
        role: "developer".into(),
        invited_by: "maya@fieldnotes.example".into(),
        note,
        expires_at: NOW + Duration::days(6),
        now: NOW,
    };
    let ada = || Some("ada@fieldnotes.example".to_owned());
    let extreme = |already| InvitationPage {
        tenant_name: worst(),
        invited_by: worst_email(),
        ..page(Some(worst_email()), already, Some(format!("@ {}", worst())))
    };
    vec![
        sample("invitation-empty", &page(None, None, None)),
        sample("invitation-typical", &page(ada(), None, ada())),
        sample("invitation-extreme", &extreme(None)),
        sample("invitation-extreme-member", &extreme(Some("admin"))),
        sample("invitation-for-another", &page(Some("eve@example.org".into()), None, ada())),
        sample("invitation-member", &page(ada(), Some("admin"), None)),
    ]
}
