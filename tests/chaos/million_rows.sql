-- A million members, who registered before there was a search, and a million claims. Their names are frequent and rare
-- ones of four languages, in both alphabets.

CREATE TEMP TABLE names AS SELECT
    ARRAY['Besa', 'Arta', 'Drita', 'Vlora', 'Teuta', 'Mirjeta', 'Shpresa', 'Luljeta', 'Fatmire', 'Valbona', 'Agim',
          'Bujar', 'Fatos', 'Gëzim', 'Hashim', 'Ilir', 'Jeton', 'Kushtrim', 'Liridon', 'Naim', 'Petrit', 'Qamil',
          'Rexhep', 'Shpëtim', 'Visar', 'Xhemal', 'Zef', 'Çlirim', 'Dritëro', 'Ëngjëll', 'Марија', 'Елена', 'Ана',
          'Ивана', 'Билјана', 'Александар', 'Никола', 'Ѓорѓи', 'Стефан', 'Димитар', 'Горан', 'Зоран', 'Ќамил',
          'Љупчо', 'Његош', 'Џемал', 'Živko', 'Đorđe', 'Ljubica', 'Jelena', 'Milica', 'Miloš', 'Dragan', 'Nebojša',
          'Žarko', 'Ćamil', 'Čedomir', 'Милица', 'Ђорђе', 'Живко', 'Anna', 'John', 'Mary', 'Peter', 'Susan',
          'William'] AS first,
    ARRAY['Hoxha', 'Krasniqi', 'Gashi', 'Berisha', 'Shala', 'Morina', 'Kelmendi', 'Syla', 'Bytyqi', 'Thaçi',
          'Rugova', 'Dushi', 'Shkodra', 'Çela', 'Zogu', 'Prifti', 'Leka', 'Marku', 'Gjoka', 'Kola', 'Basha', 'Rama',
          'Dervishi', 'Hasani', 'Osmani', 'Rexhepi', 'Xhaferi', 'Ymeri', 'Zeqiri', 'Mustafa', 'Поповски',
          'Стојановски', 'Николовски', 'Јовановски', 'Трајковски', 'Ѓорѓиевски', 'Димитриевски', 'Костов', 'Хоџа',
          'Шабани', 'Петровић', 'Јовановић', 'Nikolić', 'Marković', 'Đorđević', 'Stojanović', 'Ilić', 'Stanković',
          'Pavlović', 'Milošević', 'Živković', 'Ćirić', 'Čolić', 'Žunić', 'Smith', 'Jones', 'Taylor', 'Brown',
          'O''Neill', 'Vukov'] AS last;

-- Rare names are made of a number, so that each has some ten members.
CREATE FUNCTION pg_temp.number_name(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT translate(lpad(n::text, 5, '0'), '0123456789', 'aeioutrnsl') $$;
INSERT INTO accounts (id, role, email, full_name, phone, language, terms_version)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'member', 'm' || n || '@example.test',
       first[1 + floor(power(random(), 2) * cardinality(first))::int] || ' '
           || CASE WHEN random() < 0.9 THEN last[1 + floor(power(random(), 2) * cardinality(last))::int]
                   ELSE 'V' || pg_temp.number_name(floor(random() * 10000)::bigint) || 'aj' END,
       '+3834' || lpad(floor(random() * 10000000)::bigint::text, 7, '0'), 'sq', '2026-01'
FROM generate_series(1, 1000000) n, names;
INSERT INTO members (id, number, country)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'MEM-2026-' || lpad(n::text, 7, '0'), 'XK' FROM generate_series(1, 1000000) n;
INSERT INTO subscriptions (id, member_id, plan, state, starts_on, ends_on, anchor_on, period_starts_on, renewed_on, price,
                           currency)
SELECT gen_random_uuid(), id, 'family', 'active', '2026-11-24', '2027-11-23', '2026-11-24', '2026-11-24', '2026-11-24', 35,
       'EUR' FROM members;
INSERT INTO claims (id, number, member_id, submitted_on, category, title, company_name, description, incident_date,
                    incident_country, amount, currency, state, state_since)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'CLM-2026-' || lpad(n::text, 7, '0'),
       lpad(to_hex(1 + floor(random() * 1000000)::int), 32, '0')::uuid, '2026-11-24', 'travel', 'Cancelled flight',
       'Example Air', 'It was cancelled two hours before departure.', '2026-11-02', 'CH', 250, 'EUR',
       (ARRAY['submitted', 'verification', 'evaluation', 'negotiation', 'court', 'resolved', 'rejected', 'withdrawn'])
           [1 + floor(random() * 8)::int], now() - random() * interval '30 days'
FROM generate_series(1, 1000000) n;
