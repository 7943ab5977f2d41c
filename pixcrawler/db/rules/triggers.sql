-- Everyone who signs up gets a profile, an account with 100 credits that its transactions account for, and preferences.
CREATE OR REPLACE FUNCTION public.handle_new_user() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    said jsonb := to_jsonb(NEW) -> 'raw_user_meta_data';
    address text := left(nullif(to_jsonb(NEW) ->> 'email', ''), 255);
    account uuid;
BEGIN
    -- An address is required and unique. Who has none, or that of somebody else, is known by the id instead.
    IF address IS NULL OR EXISTS (SELECT FROM public.profiles WHERE email = address AND id <> NEW.id) THEN
        address := NEW.id;
    END IF;
    INSERT INTO public.profiles (id, email, full_name, avatar_url)
    VALUES (
        NEW.id,
        address,
        left(coalesce(nullif(said ->> 'full_name', ''), said ->> 'name'), 100),
        coalesce(nullif(said ->> 'avatar_url', ''), said ->> 'picture')
    )
    ON CONFLICT DO NOTHING;

    INSERT INTO public.credit_accounts (user_id, current_balance) VALUES (NEW.id, 100)
    ON CONFLICT DO NOTHING
    RETURNING id INTO account;
    IF account IS NOT NULL THEN
        INSERT INTO public.credit_transactions (account_id, user_id, type, description, amount, balance_after)
        VALUES (account, NEW.id, 'bonus', 'Welcome', 100, 100);
    END IF;

    INSERT INTO public.notification_preferences (user_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION public.handle_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

-- Triggers run all the same. Called by hand they would be of no use to anybody but an intruder.
REVOKE ALL ON FUNCTION public.handle_new_user(), public.handle_updated_at() FROM PUBLIC, anon, authenticated;

CREATE OR REPLACE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
    FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
