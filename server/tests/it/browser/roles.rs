//! What each role may do, how ownership changes hands, and what an account shows of itself (issue 4, item 9).

use syncline::control::{members::MemberAdmin, roles::Role};

use super::{
    Screen,
    story::{Story, writes},
};
use crate::support::{app::PASSWORD, device::schema::DDL};

const OWNER: &str = "owner@acme.example";
const BOB: &str = "owner@bobs.example";

/// Whoever is signed in leaves the screen to somebody else.
async fn sit_down(screen: &Screen, email: &str) {
    screen.sign_out().await;
    screen.sign_in(email).await;
}

/// Complaints of the browser, those apart about pages that are refused on purpose.
async fn is_quiet_but_for_refusals(screen: &Screen) {
    let mut complaints = screen.complaints().await;
    complaints.retain(|said| !said.contains("status of 403") && !said.contains("status of 404"));
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test]
async fn each_role_is_offered_what_it_may_do_and_the_ownership_changes_hands() {
    let story = Story::of(DDL).await;
    let screen = &story.screen;
    let acme = &story.notes.owner;
    writes(&mut story.device("ada", "phone").await, "f1", "Plants").await;
    let bob = story.app.member(acme, "bobs", Role::Developer).await;

    sit_down(screen, BOB).await;
    screen.visit("/d/acme/notes/keys").await;
    screen.fill("Name", "bob’s script").await;
    screen.choose("Publishable").await;
    // Meanwhile an owner takes the role away.
    let by = MemberAdmin { tenant: &acme.tenant, actor: acme.owner.actor(), role: Role::Owner };
    let control = &story.app.state().control;
    control.change_role(&by, bob.owner.account_id, Role::Viewer).await.unwrap();
    screen.click("Issue key").await;
    screen.sees("Your role does not allow this").await;
    screen.sees("You are viewer here; this takes developer.").await;
    screen.visit("/d/acme/notes/tables/folders/new").await;
    screen.sees("You are viewer here; this takes developer.").await;
    // What a viewer sees offers nothing that would be refused.
    for (page, shown, offered) in [
        ("keys", "API keys", "Issue key"),
        ("schema", "Published tables", "Preview"),
        ("tables/folders", "1 row of all users", "Insert a row"),
        ("users/ada", "Latest bundles", "Erase everything"),
        ("devices/ada/phone", "Timeline", "Retire"),
        ("history/ada/1", "Rows", "Undo this bundle"),
        ("simulator", "It takes the role developer", "Let two devices sync"),
    ] {
        if page.starts_with("devices") {
            story.facts_are_written().await;
        }
        screen.visit(&format!("/d/acme/notes/{page}")).await;
        screen.sees(shown).await;
        screen.misses(offered).await;
    }
    screen.visit("/d/acme/members").await;
    screen.sees("What each role may do").await;
    screen.misses("Invite someone").await;
    screen.misses("Make owner").await;

    sit_down(screen, OWNER).await;
    screen.visit("/d/acme/members").await;
    screen.select_in(BOB, &format!("Role of {BOB}"), "admin").await;
    screen.click_in(BOB, "Change").await;
    screen.sees("The role is admin now.").await;
    screen.click(&format!("Make {BOB} the owner")).await;
    screen.sees("Only an owner can give it back.").await;
    screen.click("Hand over the ownership").await;
    screen.sees("The ownership is handed over; you are an admin now.").await;
    screen.click("Leave this organisation").await;
    screen.sees("To come back you need an invitation.").await;
    screen.click("Leave").await;
    screen.sees("You have left").await;
    screen.sees("You belong to no organisation").await;
    screen.visit("/d/acme").await;
    screen.sees("There is nothing here").await;
    screen.visit("/account").await;
    screen.sees("You belong to no organisation").await;

    sit_down(screen, BOB).await;
    screen.visit("/d/acme/audit").await;
    screen.fill("Who", OWNER).await;
    screen.select("What", "member.left").await;
    screen.click("Show").await;
    screen.until("the log is filtered", "location.search.includes('member.left')").await;
    assert_eq!(screen.texts("tbody td[data-label=What]").await, ["member.left"]);
    let (name, csv) = screen.download("Export CSV").await;
    let csv = String::from_utf8(csv).unwrap();
    assert!(name.ends_with(".csv") && csv.lines().count() == 2 && csv.contains("member.left"), "{csv}");
    screen.click("Everything").await;
    screen.sees("member.role_changed").await;
    let (_, lines) = screen.download("Export NDJSON").await;
    let lines = String::from_utf8(lines).unwrap();
    for action in ["tenant.created", "tenant.ownership_transferred", "member.left"] {
        assert!(lines.contains(action), "{action}: {lines}");
    }
    is_quiet_but_for_refusals(screen).await;
}

#[tokio::test]
async fn sessions_are_ended_one_by_one_and_together_and_the_password_changed() {
    let story = Story::of("").await;
    let screen = &story.screen;
    let mut others = [story.app.browser(), story.app.browser(), story.app.browser()];
    for other in &mut others {
        other.sign_in(OWNER).await.location();
    }
    let sessions = async |left: usize| {
        let are = format!("document.querySelectorAll('#sessions tbody tr').length === {left}");
        screen.until(&format!("there are {left} sessions"), &are).await;
    };
    screen.click(OWNER).await;
    sessions(4).await;
    screen.sees("this one").await;
    screen.click_in("Where you are signed in", "End").await;
    screen.sees("The session is ended.").await;
    sessions(3).await;
    let mut still_in = 0;
    for other in &mut others {
        still_in += usize::from(other.get("/d/acme").await.status.is_success());
    }
    assert_eq!(still_in, 2);
    screen.click("End all other sessions").await;
    screen.sees("You are signed out everywhere else.").await;
    sessions(1).await;
    for other in &mut others {
        assert!(other.get("/d/acme").await.location().starts_with("/sign-in"));
    }

    screen.fill("Current password", "not this one").await;
    screen.fill("New password", "another long password").await;
    screen.click("Change password").await;
    screen.sees("This is not your present password.").await;
    screen.fill("Current password", PASSWORD).await;
    screen.fill("New password", "another long password").await;
    screen.click("Change password").await;
    screen.sees("The password is changed, and you are signed out everywhere else.").await;
    screen.sign_out().await;
    screen.visit("/sign-in").await;
    screen.fill("Email", OWNER).await;
    screen.fill("Password", PASSWORD).await;
    screen.click("Sign in").await;
    screen.sees("The email address or the password is wrong.").await;
    screen.fill("Password", "another long password").await;
    screen.click("Sign in").await;
    screen.sees("Apps").await;
    screen.is_quiet().await;
}
