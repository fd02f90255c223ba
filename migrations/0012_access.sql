-- Who may, asked of the accounts themselves in the transaction that does the work: a token says what was true when it was
-- issued, up to an hour ago.

-- Somebody who worked here. The row stays, since history refers to it, and opens nothing.
ALTER TABLE accounts DROP CONSTRAINT accounts_role_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_role_check CHECK (role IN ('member', 'agent', 'staff', 'admin', 'former'));

-- Whether an account may see a record: staff all but jobs and payouts, which are for admins, and others what is their own.
CREATE FUNCTION sees_record(account uuid, role text, kind text, record_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT CASE kind
        WHEN 'agent' THEN EXISTS (
            SELECT FROM public.agents WHERE id = record_id AND (id = account OR role IN ('staff', 'admin')))
        WHEN 'member' THEN EXISTS (
            SELECT FROM public.members WHERE id = record_id AND (id = account OR role IN ('staff', 'admin')))
        WHEN 'claim' THEN EXISTS (
            SELECT FROM public.claims WHERE id = record_id AND (member_id = account OR role IN ('staff', 'admin')))
        WHEN 'commission' THEN EXISTS (
            SELECT FROM public.commissions WHERE id = record_id AND (agent_id = account OR role IN ('staff', 'admin')))
        ELSE false END
$$;

-- Stops the transaction unless the identity's account has one of the allowed roles; the first call that passes proves the
-- account's address. An identity without an account, or of somebody who worked here, may nothing. For who may not act
-- on a record and may not see it either, it does not exist, whether it does or not. Definer's rights: no function's role needs more.
CREATE FUNCTION authorize(identity text, allowed text[], kind text, record_id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    caller record;
BEGIN
    SELECT a.id, a.role, a.proven_at INTO caller FROM public.accounts a WHERE a.identity_sub = identity;
    PERFORM public.require(FOUND AND caller.role <> 'former', 'forbidden');
    IF caller.role <> ALL (allowed) THEN
        PERFORM public.require(
            false,
            CASE WHEN kind IS NULL OR public.sees_record(caller.id, caller.role, kind, record_id) THEN 'forbidden' ELSE 'not-found' END);
    END IF;
    IF caller.proven_at IS NULL THEN
        -- A row that another transaction holds is left for the next call: this waits for nobody, so it can't deadlock.
        UPDATE public.accounts SET proven_at = now() WHERE id = (
            SELECT a.id FROM public.accounts a WHERE a.id = caller.id AND a.proven_at IS NULL FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
END $$;
