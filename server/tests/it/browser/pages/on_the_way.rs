//! Pages that no link leads to: what comes before something is written, what is shown once, what a letter leads to, and the
//! steps of a second factor.

use super::{Look, Screen, Walk, screen_of_the_owner};
use crate::support::{
    app::{PASSWORD, totp_secret},
    furnished::{Furnished, ddl},
};

const ROW: &str = "/d/acme/notes/tables/folder/row?scope=ada&key=f000";

/// Somebody who is about to write something, and sees first what it does.
async fn previews(screen: &Screen, walk: &mut Walk) {
    screen.visit(ROW).await;
    screen.fill("title", "Herbs").await;
    screen.click("Preview the change").await;
    screen.sees("1 row in folder changes").await;
    seen(walk, screen, "a change of a row").await;

    on_a_desk(screen, ROW).await;
    screen.click("Preview the deletion").await;
    screen.sees("1 row in folder is deleted").await;
    seen(walk, screen, "a deletion").await;

    on_a_desk(screen, ROW).await;
    screen.fill("stars", "-1").await;
    screen.click("Preview the change").await;
    screen.sees("stars").await;
    seen(walk, screen, "a change that a rule forbids").await;

    // Forty columns, with long texts that are written from right to left.
    on_a_desk(screen, "/d/acme/notes/tables/wide").await;
    screen.click("w1").await;
    for number in [1, 20, 39] {
        screen.fill(&format!("column_number_{number}"), &"ملاحظة طويلة ".repeat(number)).await;
    }
    screen.click("Preview the change").await;
    screen.sees("1 row in wide changes").await;
    seen(walk, screen, "a change of a wide row").await;

    on_a_desk(screen, "/d/acme/notes/history/ada/rows/folder/f000").await;
    screen.click("Restore version 1…").await;
    screen.sees("1 row in folder changes").await;
    seen(walk, screen, "a version that comes back").await;

    on_a_desk(screen, "/d/acme/notes/history/ada/1").await;
    screen.click("Undo this bundle…").await;
    screen.sees("ater bundles touched").await;
    seen(walk, screen, "a bundle undone").await;

    for (button, name) in
        [("Apply the device’s version…", "a conflict settled"), ("Show the merged row…", "a merge")]
    {
        on_a_desk(screen, "/d/acme/notes/conflicts").await;
        screen.click("folder f000").await;
        screen.sees("Merge by column").await;
        screen.click(button).await;
        screen.sees("column").await;
        seen(walk, screen, name).await;
    }

    on_a_desk(screen, "/d/acme/notes/tables/folder/import").await;
    for (lines, name) in [
        ("_sync_scope,id,title\nada,f000,Herbs\nada,new,Stones\n", "a dry run"),
        ("_sync_scope,id,title,stars\nada,f000\nada,f001,x,many\n", "a dry run with faults"),
    ] {
        screen.fill("CSV", lines).await;
        screen.click(if name == "a dry run" { "Dry run" } else { "Try again" }).await;
        screen.sees("What the file would do").await;
        seen(walk, screen, name).await;
    }

    on_a_desk(screen, "/d/acme/notes/schema").await;
    screen.fill("CREATE TABLE statements", "create table folder (id text primary key not null);").await;
    screen.click("Preview").await;
    screen.sees("stand in the way").await;
    seen(walk, screen, "a schema that cannot be published").await;
    on_a_desk(screen, "/d/acme/notes/schema").await;
    let more = format!("{}\ncreate table extra (id text primary key not null);", ddl());
    screen.fill("CREATE TABLE statements", &more).await;
    screen.click("Preview").await;
    screen.sees("Adds table extra").await;
    seen(walk, screen, "a schema before it is published").await;
}

/// Look at the page, and be at a desk again.
async fn seen(walk: &mut Walk, screen: &Screen, address: &str) {
    walk.look(screen, address).await;
    screen.look(Look::DESKTOP).await;
}

async fn on_a_desk(screen: &Screen, address: &str) {
    screen.look(Look::DESKTOP).await;
    screen.visit(address).await;
}

/// What is shown once, to be kept. Answers the link of an invitation.
async fn shown_once(screen: &Screen, walk: &mut Walk) -> String {
    on_a_desk(screen, "/d/acme/notes/keys").await;
    screen.fill("Name", "production server").await;
    screen.choose("Secret").await;
    screen.click("Issue key").await;
    screen.sees("This is the only time").await;
    seen(walk, screen, "a key").await;
    on_a_desk(screen, "/d/acme/notes/users/ada").await;
    screen.choose("5 minutes").await;
    screen.click("Mint a token").await;
    screen.sees("This is the only time").await;
    seen(walk, screen, "a token").await;
    on_a_desk(screen, "/d/acme/members").await;
    let name = format!("{}@example.com", "bob-with-a-long-name-".repeat(2));
    screen.fill("Whom it is for", &name).await;
    screen.choose("developer").await;
    screen.click("Make the link").await;
    screen.sees("This is the only time").await;
    seen(walk, screen, "an invitation that was made").await;
    screen.text(".issued pre").await
}

#[tokio::test]
async fn every_page_that_no_link_leads_to_can_be_used_by_everybody_on_every_screen() {
    let furnished = Furnished::new().await;
    let app = &furnished.server;
    let mut walk = Walk::new("on-the-way");
    let owner = screen_of_the_owner(app).await;
    previews(&owner, &mut walk).await;
    let link = shown_once(&owner, &mut walk).await;
    let link = link.strip_prefix(app.url()).expect("a link to this server").to_owned();
    owner.visit(&link).await;
    seen(&mut walk, &owner, &link).await;
    drop(owner);

    let bob = Screen::at(app.url()).await;
    bob.visit(&link).await;
    bob.sees("invites you").await;
    seen(&mut walk, &bob, &link).await;
    bob.click("Create an account").await;
    seen(&mut walk, &bob, &format!("{link}/sign-up")).await;
    bob.fill("Password", PASSWORD).await;
    bob.click("Create account and join").await;
    bob.sees("App notes").await;
    on_a_desk(&bob, "/account").await;
    bob.fill_in("a stolen password alone lets nobody in", "Your password", PASSWORD).await;
    bob.click("Set up a second factor").await;
    bob.sees("Or type the secret").await;
    seen(&mut walk, &bob, "/account/totp").await;
    let authenticator = totp_secret(&bob.text(".enrol pre").await);
    bob.fill("Code that the app shows", &authenticator.code_at(app.clock.now())).await;
    bob.click("Turn it on").await;
    bob.sees("Keep these recovery codes").await;
    seen(&mut walk, &bob, "recovery codes").await;
    bob.click("I have kept them").await;
    bob.sees("10 of your recovery codes are left").await;
    seen(&mut walk, &bob, "/account").await;
    on_a_desk(&bob, "/account").await;
    bob.sign_out().await;
    bob.visit("/sign-in").await;
    bob.fill("Email", &format!("{}@example.com", "bob-with-a-long-name-".repeat(2))).await;
    bob.fill("Password", PASSWORD).await;
    bob.click("Sign in").await;
    bob.sees("One more step").await;
    seen(&mut walk, &bob, "/sign-in/code").await;
    bob.fill("Code", "000000").await;
    bob.click("Sign in").await;
    bob.sees("This code is not right").await;
    seen(&mut walk, &bob, "a wrong code").await;
    walk.ends(|_| false);
}
