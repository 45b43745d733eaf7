//! People: one invites another, who signs up by the link, sets up a second factor and signs in with it; and the log tells
//! it all (issue 4, item 9).

use super::{Screen, harness::Look, screen_of_the_owner};
use crate::support::app::{PASSWORD, TestApp, totp_secret};

/// Pictures of the page in every size and theme.
async fn shots(screen: &Screen, name: &str) {
    for look in [Look::PHONE, Look::PHONE_DARK, Look::DESKTOP_DARK, Look::DESKTOP] {
        screen.look(look).await;
        screen.shot(&format!("people-{name}-{}", look.name)).await;
    }
}

#[tokio::test]
async fn a_person_is_invited_proves_who_they_are_twice_and_it_is_written_down() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let owner = screen_of_the_owner(&app).await;
    owner.click("Members").await;
    owner.fill("Whom it is for", "bob@example.com").await;
    owner.choose("developer").await;
    owner.click("Make the link").await;
    owner.sees("This is the only time the link is shown").await;
    shots(&owner, "members").await;
    let link = owner.text(".issued pre").await;

    let bob = Screen::at(app.url()).await;
    bob.visit(link.strip_prefix(app.url()).expect("a link to this server")).await;
    bob.sees("owner@acme.example invites you").await;
    shots(&bob, "invitation").await;
    bob.click("Create an account").await;
    bob.fill("Password", PASSWORD).await;
    bob.click("Create account and join").await;
    bob.sees("Make your first app").await;

    bob.visit("/account").await;
    bob.fill_in("a stolen password alone lets nobody in", "Your password", PASSWORD).await;
    bob.click("Set up a second factor").await;
    bob.sees("Or type the secret").await;
    shots(&bob, "totp").await;
    let authenticator = totp_secret(&bob.text(".enrol pre").await);
    bob.fill("Code that the app shows", &authenticator.code_at(app.clock.now())).await;
    bob.click("Turn it on").await;
    bob.sees("Keep these recovery codes").await;
    shots(&bob, "recovery-codes").await;
    let codes = bob.text(".issued pre").await;
    bob.click("I have kept them").await;
    bob.sees("10 of your recovery codes are left").await;
    shots(&bob, "account").await;

    bob.sign_out().await;
    bob.visit("/sign-in").await;
    bob.fill("Email", "bob@example.com").await;
    bob.fill("Password", PASSWORD).await;
    bob.click("Sign in").await;
    bob.sees("One more step").await;
    shots(&bob, "code").await;
    bob.fill("Code", "000000").await;
    bob.click("Sign in").await;
    bob.sees("This code is not right").await;
    bob.fill("Code", codes.split(' ').next().expect("a code")).await;
    bob.click("Sign in").await;
    bob.sees("Make your first app").await;

    owner.click("Audit log").await;
    owner.sees("member.joined").await;
    shots(&owner, "audit").await;
    owner.select("What", "invitation.made").await;
    owner.click("Show").await;
    owner
        .wait("the log is filtered", async || {
            owner.path().await.contains("action=invitation.made").then_some(())
        })
        .await;
    assert!(!owner.texts("tbody td").await.iter().any(|cell| cell.contains("tenant.created")));
    owner.sees("bob@example.com").await;
    owner.click("Settings").await;
    owner.sees("Delete this organisation").await;
    shots(&owner, "settings").await;
    owner.is_quiet().await;
    bob.is_quiet().await;
}
