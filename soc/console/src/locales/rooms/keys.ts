import type { Pairs } from './pairs';

/** Texts about the master keys. */
export const keys = {
  'page.keys': ['主密钥', 'Master keys'],
  'keys.what': ['主密钥', 'Master keys'],
  'keys.why': ['平台保存的密码、密钥等秘密都用主密钥加密。主密钥保存在密钥文件中，不会离开服务器，这里只显示编号。', 'Every secret the platform keeps is sealed with a master key. The keys stay in the key file on the server; only their ids are shown here.'],
  'keys.id': ['密钥编号', 'Key id'],
  'keys.created': ['生成时间', 'Made'],
  'keys.current': ['当前', 'Current'],
  'keys.old': ['旧', 'Old'],
  'keys.sealed': ['加密的内容', 'Seals'],
  'keys.count': ['数量', 'How many'],
  'keys.nothing': ['没有内容再用它加密', 'Nothing is sealed with it any more'],
  'keys.nothingYet': ['还没有需要加密的内容', 'Nothing to seal yet'],
  'keys.empty': ['没有主密钥', 'No master keys'],
  'keys.rotate': ['轮换主密钥', 'Rotate the key'],
  'keys.rotateWhy': ['会生成一把新的主密钥，并用它把 {n} 项内容全部重新加密，一次完成。服务不中断，不需要重新登录。', 'A new master key is made, and all {n} secrets are sealed anew with it, in one go. The service goes on and nobody has to sign in again.'],
  'keys.rotateOld': ['旧密钥留在密钥文件中，以便恢复以前的备份。请在轮换后重新备份密钥文件：只有旧密钥的备份打不开轮换后的数据。', 'Old keys stay in the key file, so that earlier backups still open. Back the key file up again afterwards: a copy with the old keys alone does not open the data from then on.'],
  'keys.rotated': ['已轮换主密钥', 'The master key was rotated'],
  'keys.dropOld': ['旧密钥只能在平台停机时清除：', 'Old keys are dropped while the platform stands still: '],
  'sealkind.totp': ['验证器密钥', 'Authenticator secrets'],
  'sealkind.receiver': ['通知接收方密钥', 'Secrets of receivers'],
  'sealkind.receiver-url': ['通知接收方地址', 'Addresses of receivers'],
  'sealkind.identity-provider': ['身份源的密钥', 'Secrets of identity providers'],
  'sealkind.federation-session': ['单点登录会话', 'Single sign-on sessions'],
  'sealkind.oidc-signing-key': ['单点登录服务的签名密钥', 'Signing keys of the single sign-on service'],
  'sealkind.audit-key': ['审计签名密钥', 'Signing keys of the audit log'],
} satisfies Pairs;
