-- From the table `source` (elec2.csv.gz with `row_number`, counted from 0) to features, target and event_time.
--
-- A row is the half-hour that starts at event_time. Its prices, demands and transfer are known when the prediction is
-- asked for; whether the price is above its 24-hour average (`class`) only later. So everything that looks at `class`
-- looks back: one half-hour, a day (48 rows) and a week (336 rows). No half-hour is missing (period and row number
-- agree throughout), which is why rows can be counted instead of joined by time.
--
-- The mean price of the last day is left out on purpose: beside the price itself it spells out the definition of the
-- target, and a model that only repeats a definition shows nothing.
--
-- The first week has no full history and is left out.
SELECT
  row_number,
  TIMESTAMP '1996-05-07 00:00:00' + row_number * INTERVAL 30 MINUTE AS event_time,
  period,
  nswprice,
  nswdemand,
  vicprice,
  vicdemand,
  transfer,
  lag(class, 1) OVER past AS class_lag_1,
  lag(class, 2) OVER past AS class_lag_2,
  lag(class, 48) OVER past AS class_lag_48,
  lag(class, 336) OVER past AS class_lag_336,
  lag(nswprice, 1) OVER past AS nswprice_lag_1,
  lag(nswprice, 48) OVER past AS nswprice_lag_48,
  lag(nswdemand, 1) OVER past AS nswdemand_lag_1,
  "class"
FROM source
WINDOW past AS (ORDER BY row_number)
QUALIFY row_number >= 336
ORDER BY row_number
