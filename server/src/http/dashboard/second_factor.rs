//! The second factor of one's own account: setting it up, its recovery codes, doing without it again.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    links,
    pages::account::{BeginInput, CodeForm, CodeInput, FactorForm, FactorInput, RecoveryCodesPage, TotpPage},
    qr::Qr,
    shell::{Area, Notice},
};

use super::{
    account::{done, retry},
    show, show_as,
    sign_up::sentence,
};
use crate::{
    auth::secret_token::PlainToken,
    control::{ControlPlane, second_factor::FactorError},
    http::{
        error::ApiError,
        extract::{form::Posted, visitor::SignedIn},
        page_error::PageError,
    },
};

/// Begin, if the password is right: whoever only found an open browser cannot lock its owner out.
pub async fn begin(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<BeginInput>,
) -> Result<Response, PageError> {
    match control.begin_totp(person.account(), input.factor_password.reveal()).await {
        Ok(()) => Ok(Redirect::to(links::ACCOUNT_TOTP).into_response()),
        Err(error) => refuse(&person, &control, error).await,
    }
}

/// The secret, as a QR code and to be typed; nothing once it is confirmed.
pub async fn page(person: SignedIn, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    match totp_page(&person, &control, CodeForm::default()).await? {
        Some(page) => show(&page),
        None => Ok(Redirect::to(links::ACCOUNT).into_response()),
    }
}

/// Ask for it from now on, if the first code is right. The recovery codes are in this answer and nowhere else.
pub async fn confirm(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<CodeInput>,
) -> Result<Response, PageError> {
    let error = match control.confirm_totp(person.account(), &input.code, person.origin()).await {
        Ok(codes) => return show(&codes_page(&person, &codes, true)),
        Err(error) => error,
    };
    let (status, said) = explain(error)?;
    let mut form = CodeForm::default();
    form.code.reject(said.clone());
    match totp_page(&person, &control, form).await? {
        Some(page) => show_as(status, &page),
        None => {
            person.notify(Notice::Failed(said)).await?;
            Ok(Redirect::to(links::ACCOUNT).into_response())
        }
    }
}

pub async fn disable(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<FactorInput>,
) -> Result<Response, PageError> {
    let proofs = (input.factor_password.reveal(), input.factor_code.as_str());
    match control.disable_totp(person.account(), proofs, person.origin()).await {
        Ok(()) => done(&person, "Signing in takes the password alone now.").await,
        Err(error) => refuse(&person, &control, error).await,
    }
}

pub async fn new_recovery_codes(
    person: SignedIn,
    State(control): State<ControlPlane>,
    Posted(input): Posted<FactorInput>,
) -> Result<Response, PageError> {
    let proofs = (input.factor_password.reveal(), input.factor_code.as_str());
    match control.new_recovery_codes(person.account(), proofs, person.origin()).await {
        Ok(codes) => show(&codes_page(&person, &codes, false)),
        Err(error) => refuse(&person, &control, error).await,
    }
}

async fn totp_page(
    person: &SignedIn,
    control: &ControlPlane,
    form: CodeForm,
) -> Result<Option<TotpPage>, PageError> {
    let secret = match control.totp_being_set_up(person.account().account_id).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Ok(None),
        Err(FactorError::Database(error)) => return Err(error.into()),
        Err(error) => return Err(ApiError::internal(error).into()),
    };
    let url = secret.url(&person.account().email);
    Ok(Some(TotpPage {
        shell: person.shell().at(Area::Account),
        qr: Qr::new(&url).ok_or_else(|| ApiError::internal("an otpauth URL does not fit a QR code"))?,
        secret: in_fours(&secret.base32()),
        form,
    }))
}

fn codes_page(person: &SignedIn, codes: &[PlainToken], just_enabled: bool) -> RecoveryCodesPage {
    RecoveryCodesPage {
        shell: person.shell().at(Area::Account),
        codes: codes.iter().map(|code| code.expose().to_owned()).collect(),
        just_enabled,
    }
}

async fn refuse(
    person: &SignedIn,
    control: &ControlPlane,
    error: FactorError,
) -> Result<Response, PageError> {
    let is_code = matches!(error, FactorError::WrongCode);
    let (status, said) = explain(error)?;
    let mut form = FactorForm::default();
    if is_code {
        form.factor_code.reject(said);
    } else {
        form.factor_password.reject(said);
    }
    retry(person, control, status, form.into()).await
}

/// The status and the sentence of what was refused; what is not the person's to mend is an error page.
pub(super) fn explain(error: FactorError) -> Result<(StatusCode, String), PageError> {
    let unfit = StatusCode::UNPROCESSABLE_ENTITY;
    match error {
        FactorError::Database(error) => Err(error.into()),
        FactorError::Password(error) => Err(ApiError::internal(error).into()),
        FactorError::Sealed(error) => {
            tracing::error!(error.cause = %error, "An authenticator's secret cannot be opened.");
            let said = "This server cannot open the secret of your authenticator. Use a recovery code, and tell whoever \
                        runs the server that its secret key is another one.";
            Ok((StatusCode::SERVICE_UNAVAILABLE, said.to_owned()))
        }
        FactorError::Throttled(throttled) => Ok((StatusCode::TOO_MANY_REQUESTS, sentence(&throttled))),
        FactorError::WrongPassword => Ok((unfit, "This is not your password.".to_owned())),
        FactorError::WrongCode => Ok((
            unfit,
            "This code is not right, or it was used already. Wait for the next one, and check the clock of your device."
                .to_owned(),
        )),
        FactorError::AlreadyOn => Ok((unfit, "A second factor is in use already.".to_owned())),
        FactorError::NotBegun => Ok((unfit, "Half an hour has passed. Begin again.".to_owned())),
    }
}

fn in_fours(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
